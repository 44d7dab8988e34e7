data "azuread_application" "application-33333333-3333-4333-8333-333333333333" {
  client_id = "33333333-3333-4333-8333-333333333333"
}

resource "azurerm_federated_identity_credential" "shop-prod-shop-3e4c117a40" {
  name                      = "prod-shop-3e4c117a40"
  user_assigned_identity_id = "/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shop"
  audience                  = ["api://AzureADTokenExchange"]
  issuer                    = "https://issuer.example.com/cluster/"
  subject                   = "system:serviceaccount:prod:shop"
}

resource "azurerm_federated_identity_credential" "shop-prod-cart-b5540572ee" {
  name                      = "prod-cart-b5540572ee"
  user_assigned_identity_id = "/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shop"
  audience                  = ["api://AzureADTokenExchange"]
  issuer                    = "https://issuer.example.com/cluster/"
  subject                   = "system:serviceaccount:prod:cart"

  # Azure refuses two writes at the same time.
  depends_on = [azurerm_federated_identity_credential.shop-prod-shop-3e4c117a40]
}

resource "azurerm_federated_identity_credential" "mail-prod-mail-sender-aabbb50e86" {
  name                      = "prod-mail-sender-aabbb50e86"
  user_assigned_identity_id = "/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/mail (eu)/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mail"
  audience                  = ["api://AzureADTokenExchange"]
  issuer                    = "https://issuer.example.com/cluster/"
  subject                   = "system:serviceaccount:prod:mail.sender"

  # Azure refuses two writes at the same time.
  depends_on = [azurerm_federated_identity_credential.shop-prod-cart-b5540572ee]
}

resource "azuread_application_federated_identity_credential" "An-application-prod-batch-47fbcbde02" {
  display_name   = "prod-batch-47fbcbde02"
  application_id = data.azuread_application.application-33333333-3333-4333-8333-333333333333.id
  audiences      = ["api://AzureADTokenExchange"]
  issuer         = "https://issuer.example.com/cluster/"
  subject        = "system:serviceaccount:prod:batch"

  # Azure refuses two writes at the same time.
  depends_on = [azurerm_federated_identity_credential.mail-prod-mail-sender-aabbb50e86]
}

resource "azurerm_federated_identity_credential" "odd-prod-odd-e0819058fb" {
  name                      = "prod-odd-e0819058fb"
  user_assigned_identity_id = "/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/odd"
  audience                  = ["api://AzureADTokenExchange"]
  issuer                    = "https://issuer.example.com/cluster/"
  subject                   = "'\"\\ $${a} $$${b} %%{c} %%%{d} $ \u001b \u2028 é #{e} */ // @f"

  # Azure refuses two writes at the same time.
  depends_on = [azuread_application_federated_identity_credential.An-application-prod-batch-47fbcbde02]
}

resource "azuread_application_federated_identity_credential" "An-application-prod-odd-e0819058fb" {
  display_name   = "prod-odd-e0819058fb"
  application_id = data.azuread_application.application-33333333-3333-4333-8333-333333333333.id
  audiences      = ["api://AzureADTokenExchange"]
  issuer         = "https://issuer.example.com/cluster/"
  subject        = "'\"\\ $${a} $$${b} %%{c} %%%{d} $ \u001b \u2028 é #{e} */ // @f"

  # Azure refuses two writes at the same time.
  depends_on = [azurerm_federated_identity_credential.odd-prod-odd-e0819058fb]
}

