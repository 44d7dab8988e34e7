// @azure/msal-node: ManagedIdentityApplication.
'use strict';

const { ManagedIdentityApplication } = require('@azure/msal-node');
const { remember, serve } = require('./lines');

const application = remember((clientId) => new ManagedIdentityApplication(
  clientId ? { managedIdentityIdParams: { userAssignedClientId: clientId } } : {}));

const managed = async (resource, clientId) => {
  const found = await application(clientId).acquireToken({ resource });
  return [found.accessToken, found.expiresOn.getTime() / 1000];
};

serve({ managed });
