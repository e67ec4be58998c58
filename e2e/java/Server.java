import java.io.IOException;
import java.net.ServerSocket;

/** Listens on port 80, which needs net_bind_service with the host's network. */
public final class Server {
  public static void main(String[] arguments) throws IOException {
    try (ServerSocket socket = new ServerSocket(80)) {
      System.out.println("listening on port " + socket.getLocalPort());
    }
  }
}
