// The authorizer for managed identities of go-azure-sdk, which the providers azurerm, azuread and azapi use.
package main

import (
	"context"
	"os"
	"time"

	"github.com/hashicorp/go-azure-sdk/sdk/auth"
	"github.com/hashicorp/go-azure-sdk/sdk/environments"
)

func main() {
	serve(func(_, clientID string) (string, time.Time, error) {
		// With the provider's variable for the endpoint.
		authorizer, err := auth.NewManagedIdentityAuthorizer(context.Background(), auth.ManagedIdentityAuthorizerOptions{
			Api:                           environments.AzurePublic().ResourceManager,
			ClientId:                      clientID,
			CustomManagedIdentityEndpoint: os.Getenv("ARM_MSI_ENDPOINT"),
		})
		if err != nil {
			return "", time.Time{}, err
		}
		token, err := authorizer.Token(context.Background(), nil)
		if err != nil {
			return "", time.Time{}, err
		}
		return token.AccessToken, token.Expiry, nil
	})
}
