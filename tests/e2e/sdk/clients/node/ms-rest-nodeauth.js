// @azure/ms-rest-nodeauth: loginWithVmMSI.
'use strict';

const { MSIVmTokenCredentials } = require('@azure/ms-rest-nodeauth');
const { remember, serve } = require('./lines');

const credentials = remember(
  (resource, clientId) => new MSIVmTokenCredentials({ resource, clientId }));

const managed = async (resource, clientId) => {
  const found = await credentials(resource, clientId).getToken();
  return [found.accessToken, Number(found.expiresOn)];
};

serve({ managed });
