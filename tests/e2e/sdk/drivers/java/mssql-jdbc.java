import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.DriverManager;

/**
 * com.microsoft.sqlserver:mssql-jdbc: connects with the URL in each line of standard input, and prints a line with the
 * error and its causes, or an empty one.
 */
final class Client {
    public static void main(String[] args) throws Exception {
        var urls = new BufferedReader(new InputStreamReader(System.in));
        for (var url = urls.readLine(); url != null; url = urls.readLine()) {
            System.out.println(connect(url).replaceAll("\\s+", " "));
        }
        // The driver's own threads would keep the program alive.
        System.exit(0);
    }

    private static String connect(String url) {
        var errors = new StringBuilder();
        try (var connection = DriverManager.getConnection(url)) {
            connection.getMetaData();
        } catch (Exception error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                errors.append(cause).append(' ');
            }
        }
        return errors.toString();
    }
}
