// @azure/identity: ManagedIdentityCredential and DefaultAzureCredential.
'use strict';

const { DefaultAzureCredential, ManagedIdentityCredential } = require('@azure/identity');
const { remember, serve } = require('./lines');

const credential = remember((way, clientId) => {
  if (way === 'default') return new DefaultAzureCredential({ managedIdentityClientId: clientId });
  return clientId ? new ManagedIdentityCredential(clientId) : new ManagedIdentityCredential();
});

const token = (way) => async (resource, clientId) => {
  const found = await credential(way, clientId).getToken(`${resource}/.default`);
  return [found.token, found.expiresOnTimestamp / 1000];
};

serve({ managed: token('managed'), default: token('default') });
