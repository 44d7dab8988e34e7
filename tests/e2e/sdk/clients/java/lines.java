import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Instant;
import java.util.Map;

/** The protocol of every client here: a line of standard input, a line of JSON. */
final class Lines {
    /** A token and when it expires. */
    record Token(String text, Instant expiresOn) {}

    /** How to get a token. */
    interface Way {
        /** Gets one for a resource; the client id is null where none is asked for. */
        Token token(String resource, String clientId) throws Exception;
    }

    /** Answers each line `WAY RESOURCE [CLIENT_ID]` with a token or with what the SDK says. */
    static void serve(Map<String, Way> ways) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (var line = lines.readLine(); line != null; line = lines.readLine()) {
            var fields = line.split(" ");
            var clientId = fields.length > 2 ? fields[2] : null;
            try {
                var token = ways.get(fields[0]).token(fields[1], clientId);
                System.out.printf("{\"token\": \"%s\", \"expires_on\": %d}%n",
                    token.text(), token.expiresOn().getEpochSecond());
            } catch (Exception error) {
                System.out.printf("{\"error\": \"%s\"}%n", escape(causes(error)));
            }
        }
        // The SDKs' own threads would keep the program alive.
        System.exit(0);
    }

    private static String causes(Throwable error) {
        var cause = error.getCause();
        return cause == null ? error.toString() : error + ": " + causes(cause);
    }

    private static String escape(String text) {
        var escaped = new StringBuilder();
        text.chars().forEach(c -> escaped.append(
            c < ' ' || c == '"' || c == '\\' ? String.format("\\u%04x", c) : (char) c));
        return escaped.toString();
    }
}
