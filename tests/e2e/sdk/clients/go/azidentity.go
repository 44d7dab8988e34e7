// azidentity: ManagedIdentityCredential and DefaultAzureCredential.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// Each line of standard input, `WAY RESOURCE [CLIENT_ID]`, gets a line of JSON.
func main() {
	credentials := map[string]azcore.TokenCredential{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := append(strings.Fields(lines.Text()), "")
		answer := map[string]any{}
		if token, err := token(credentials, fields[0], fields[1], fields[2]); err != nil {
			answer["error"] = err.Error()
		} else {
			answer["token"] = token.Token
			answer["expires_on"] = token.ExpiresOn.Unix()
		}
		line, _ := json.Marshal(answer)
		fmt.Println(string(line))
	}
}

func token(credentials map[string]azcore.TokenCredential, way, resource, clientID string) (azcore.AccessToken, error) {
	key := way + " " + clientID
	if credentials[key] == nil {
		made, err := credential(way, clientID)
		if err != nil {
			return azcore.AccessToken{}, err
		}
		credentials[key] = made
	}
	options := policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}}
	return credentials[key].GetToken(context.Background(), options)
}

func credential(way, clientID string) (azcore.TokenCredential, error) {
	if way == "default" {
		return azidentity.NewDefaultAzureCredential(nil)
	}
	options := azidentity.ManagedIdentityCredentialOptions{}
	if clientID != "" {
		options.ID = azidentity.ClientID(clientID)
	}
	return azidentity.NewManagedIdentityCredential(&options)
}
