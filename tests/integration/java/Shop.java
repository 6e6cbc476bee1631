import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.concurrent.Executors;

/** A server that knows nothing of tracing. Asks itself once on each path, then ends; the Java agent traces it all. */
public final class Shop {
    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        URI self = URI.create("http://127.0.0.1:" + server.getAddress().getPort());
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/order", exchange -> {
            for (int piece = 0; piece < 3; piece++) {
                get(self.resolve("/stock"));
            }
            answer(exchange, 200);
        });
        server.createContext("/stock", exchange -> answer(exchange, 200));
        server.createContext("/broken", exchange -> answer(exchange, 500));
        server.start();
        get(self.resolve("/order"));
        get(self.resolve("/broken"));
        System.exit(0);
    }

    private static void get(URI uri) throws IOException {
        try {
            CLIENT.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.discarding());
        } catch (InterruptedException interrupted) {
            throw new IOException(interrupted);
        }
    }

    private static void answer(HttpExchange exchange, int status) throws IOException {
        exchange.sendResponseHeaders(status, -1);
        exchange.close();
    }
}
