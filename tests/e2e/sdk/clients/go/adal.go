// go-autorest's adal: tokens from the metadata service of a virtual machine.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/Azure/go-autorest/autorest/adal"
)

// Each line of standard input, `WAY RESOURCE [CLIENT_ID]`, gets a line of JSON. The way `default`
// asks first whether there is a metadata service.
func main() {
	tokens := map[string]*adal.ServicePrincipalToken{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := append(strings.Fields(lines.Text()), "")
		answer := map[string]any{}
		if token, err := token(tokens, fields[0], fields[1], fields[2]); err != nil {
			answer["error"] = err.Error()
		} else {
			answer["token"] = token.AccessToken
			answer["expires_on"] = token.Expires().Unix()
		}
		line, _ := json.Marshal(answer)
		fmt.Println(string(line))
	}
}

func token(tokens map[string]*adal.ServicePrincipalToken, way, resource, clientID string) (adal.Token, error) {
	if way == "default" && !adal.MSIAvailable(context.Background(), nil) {
		return adal.Token{}, fmt.Errorf("adal.MSIAvailable finds no metadata service")
	}
	key := resource + " " + clientID
	if tokens[key] == nil {
		made, err := adal.NewServicePrincipalTokenFromManagedIdentity(
			resource, &adal.ManagedIdentityOptions{ClientID: clientID})
		if err != nil {
			return adal.Token{}, err
		}
		tokens[key] = made
	}
	err := tokens[key].EnsureFresh()
	return tokens[key].Token(), err
}
