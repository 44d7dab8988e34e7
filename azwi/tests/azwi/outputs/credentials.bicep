// Save as federated-credentials.bicep, and deploy once for each resource group:
//   az deployment group create --subscription=22222222-2222-4222-8222-222222222222 --resource-group='mail (eu)' --template-file=federated-credentials.bicep
//   az deployment group create --subscription=22222222-2222-4222-8222-222222222222 --resource-group=shop --template-file=federated-credentials.bicep
// An application is not in a resource group:
//   az ad app federated-credential create --id=33333333-3333-4333-8333-333333333333 --parameters='{"audiences":["api://AzureADTokenExchange"],"issuer":"https://issuer.example.com/cluster/","name":"prod-batch-47fbcbde02","subject":"system:serviceaccount:prod:batch"}'
// An application is not in a resource group:
//   az ad app federated-credential create --id=33333333-3333-4333-8333-333333333333 --parameters='{"audiences":["api://AzureADTokenExchange"],"issuer":"https://issuer.example.com/cluster/","name":"prod-odd-e0819058fb","subject":"'\''\"\\ ${a} $${b} %{c} %%{d} $ \u001b � é #{e} */ // @f"}'

var credentials = [
  {
    subscription: '22222222-2222-4222-8222-222222222222'
    resourceGroup: 'shop'
    identity: 'shop'
    name: 'prod-shop-3e4c117a40'
    issuer: 'https://issuer.example.com/cluster/'
    subject: 'system:serviceaccount:prod:shop'
    audience: 'api://AzureADTokenExchange'
  }
  {
    subscription: '22222222-2222-4222-8222-222222222222'
    resourceGroup: 'shop'
    identity: 'shop'
    name: 'prod-cart-b5540572ee'
    issuer: 'https://issuer.example.com/cluster/'
    subject: 'system:serviceaccount:prod:cart'
    audience: 'api://AzureADTokenExchange'
  }
  {
    subscription: '22222222-2222-4222-8222-222222222222'
    resourceGroup: 'mail (eu)'
    identity: 'mail'
    name: 'prod-mail-sender-aabbb50e86'
    issuer: 'https://issuer.example.com/cluster/'
    subject: 'system:serviceaccount:prod:mail.sender'
    audience: 'api://AzureADTokenExchange'
  }
  {
    subscription: '22222222-2222-4222-8222-222222222222'
    resourceGroup: 'shop'
    identity: 'odd'
    name: 'prod-odd-e0819058fb'
    issuer: 'https://issuer.example.com/cluster/'
    subject: '\'"\\ \${a} $\${b} %{c} %%{d} $ \u{1b} \u{2028} é #{e} */ // @f'
    audience: 'api://AzureADTokenExchange'
  }
]

var here = filter(
  credentials,
  it => toLower(it.subscription) == toLower(subscription().subscriptionId) && toLower(it.resourceGroup) == toLower(resourceGroup().name)
)

// Azure refuses two writes to one identity at the same time.
@batchSize(1)
resource federatedCredentials 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = [
  for it in here: {
    name: '${it.identity}/${it.name}'
    properties: {
      issuer: it.issuer
      subject: it.subject
      audiences: [
        it.audience
      ]
    }
  }
]
