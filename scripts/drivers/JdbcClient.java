// JDBC: types by number and name, remembered for each connection; prepared statements in binary.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.*;
import java.util.Arrays;
import java.util.Map;

public class JdbcClient {
    static Connection connect() throws SQLException {
        return DriverManager.getConnection(System.getenv("GATE_JDBC"));
    }

    static void check(String name, Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT h, c, cs, m, ms, p FROM t WHERE m = ?::mood")) {
            // More often than prepareThreshold, so that statements are named and values binary.
            for (int i = 0; i < 8; i++) {
                statement.setString(1, "fine");
                try (ResultSet rows = statement.executeQuery()) {
                    rows.next();
                    Object h = rows.getObject(1);
                    Object[] cs = (Object[]) rows.getArray(3).getArray();
                    Object[] ms = (Object[]) rows.getArray(5).getArray();
                    boolean right = h instanceof Map && ((Map<?, ?>) h).get("k").equals("v")
                        && rows.getString(2).equals("C") && Arrays.toString(cs).equals("[A, b]")
                        && rows.getString(4).equals("fine") && Arrays.toString(ms).equals("[sad, fine]")
                        && rows.getObject(6).toString().equals("(1,sad)");
                    String types = "";
                    for (int c = 1; c <= 6; c++) types += rows.getMetaData().getColumnTypeName(c) + " ";
                    if (!right || !types.equals("hstore citext _citext mood _mood pair ")) {
                        System.out.println("FAILED " + name + ": " + h + " " + Arrays.toString(ms) + " " + types);
                        System.exit(1);
                    }
                }
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        Connection used = connect();
        Connection idle = connect();
        check("before", used);
        System.out.println("ready " + used.getMetaData().getDriverVersion());
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (int round = 0; round < 2; round++) {
            in.readLine();
            check("used before", used);
            check("idle before", idle);
            check("new", connect());
            System.out.println("ok");
        }
        System.exit(0);
    }
}
