import com.microsoft.aad.msal4j.ManagedIdentityApplication;
import com.microsoft.aad.msal4j.ManagedIdentityId;
import com.microsoft.aad.msal4j.ManagedIdentityParameters;
import java.util.HashMap;
import java.util.Map;

/** com.microsoft.azure:msal4j: ManagedIdentityApplication. */
final class Client {
    private static final Map<String, ManagedIdentityApplication> APPLICATIONS = new HashMap<>();

    public static void main(String[] args) throws Exception {
        Lines.serve(Map.of("managed", Client::token));
    }

    private static Lines.Token token(String resource, String clientId) throws Exception {
        var application = APPLICATIONS.computeIfAbsent(clientId, id ->
            ManagedIdentityApplication.builder(id == null
                ? ManagedIdentityId.systemAssigned()
                : ManagedIdentityId.userAssignedClientId(id)).build());
        var parameters = ManagedIdentityParameters.builder(resource).build();
        var found = application.acquireTokenForManagedIdentity(parameters).get();
        return new Lines.Token(found.accessToken(), found.expiresOnDate().toInstant());
    }
}
