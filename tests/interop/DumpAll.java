import java.nio.file.Files;
import java.nio.file.Path;

/** Runs Druid's command line once for each line of a file; words of a command are separated by tabs. */
public class DumpAll {
  public static void main(String[] args) throws Exception {
    for (String line : Files.readAllLines(Path.of(args[0]))) {
      org.apache.druid.cli.Main.main(line.split("\t"));
    }
  }
}
