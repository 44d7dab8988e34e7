import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.azurebfs.AbfsConfiguration;
import org.apache.hadoop.fs.azurebfs.oauth2.AzureADAuthenticator;
import org.apache.hadoop.fs.azurebfs.oauth2.MsiTokenProvider;

/** org.apache.hadoop:hadoop-azure: what ABFS gets its tokens from, by its settings. */
final class Client {
    public static void main(String[] args) throws Exception {
        Lines.serve(Map.of("managed", Client::token));
    }

    private static Lines.Token token(String resource, String clientId) throws Exception {
        var settings = new Configuration(false);
        settings.set("fs.azure.account.auth.type", "OAuth");
        settings.set("fs.azure.account.oauth.provider.type", MsiTokenProvider.class.getName());
        settings.set("fs.azure.account.oauth2.msi.tenant", "common");
        settings.set("fs.azure.account.oauth2.client.id", clientId == null ? "" : clientId);
        var endpoint = System.getenv("ABFS_MSI_ENDPOINT");
        if (endpoint != null) {
            settings.set("fs.azure.account.oauth2.msi.endpoint", endpoint);
        }
        var abfs = new AbfsConfiguration(settings, "account");
        AzureADAuthenticator.init(abfs);
        var token = abfs.getTokenProvider().getToken();
        return new Lines.Token(token.getAccessToken(), token.getExpiry().toInstant());
    }
}
