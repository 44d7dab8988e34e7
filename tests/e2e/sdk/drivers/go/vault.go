// The Azure method of auto-auth in the agent of HashiCorp Vault. The token is what it would send to Vault.
package main

import (
	"context"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/command/agentproxyshared/auth"
	"github.com/hashicorp/vault/command/agentproxyshared/auth/azure"
)

func main() {
	serve(func(resource, clientID string) (string, time.Time, error) {
		method, err := azure.NewAzureAuthMethod(&auth.AuthConfig{
			Logger:    hclog.NewNullLogger(),
			MountPath: "auth/azure",
			Config: map[string]any{
				"role":      "role",
				"resource":  resource,
				"client_id": clientID,
				// Its other way has the address of IMDS compiled in.
				"authenticate_from_environment": os.Getenv("IDENTITY_ENDPOINT") != "",
			},
		})
		if err != nil {
			return "", time.Time{}, err
		}
		_, _, login, err := method.Authenticate(context.Background(), nil)
		if err != nil {
			return "", time.Time{}, err
		}
		return login["jwt"].(string), time.Time{}, nil
	})
}
