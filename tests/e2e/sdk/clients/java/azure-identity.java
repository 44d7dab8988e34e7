import com.azure.core.credential.TokenCredential;
import com.azure.core.credential.TokenRequestContext;
import com.azure.identity.DefaultAzureCredentialBuilder;
import com.azure.identity.ManagedIdentityCredentialBuilder;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Function;

/** com.azure:azure-identity: ManagedIdentityCredential and DefaultAzureCredential. */
final class Client {
    public static void main(String[] args) throws Exception {
        Lines.serve(Map.of(
            "managed", way(id -> new ManagedIdentityCredentialBuilder().clientId(id).build()),
            "default", way(id ->
                new DefaultAzureCredentialBuilder().managedIdentityClientId(id).build())));
    }

    private static Lines.Way way(Function<String, TokenCredential> make) {
        var credentials = new HashMap<String, TokenCredential>();
        return (resource, clientId) -> {
            var request = new TokenRequestContext().addScopes(resource + "/.default");
            var token = credentials.computeIfAbsent(clientId, make).getToken(request).block();
            return new Lines.Token(token.getToken(), token.getExpiresAt().toInstant());
        };
    }
}
