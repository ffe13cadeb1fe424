import com.fasterxml.jackson.databind.BeanProperty;
import com.fasterxml.jackson.databind.DeserializationContext;
import com.fasterxml.jackson.databind.InjectableValues;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.druid.data.input.ColumnsFilter;
import org.apache.druid.data.input.InputFormat;
import org.apache.druid.data.input.InputRow;
import org.apache.druid.data.input.InputRowSchema;
import org.apache.druid.data.input.impl.DimensionsSpec;
import org.apache.druid.data.input.impl.FileEntity;
import org.apache.druid.data.input.impl.TimestampSpec;
import org.apache.druid.jackson.DefaultObjectMapper;
import org.apache.druid.java.util.common.DateTimes;
import org.apache.druid.java.util.common.parsers.CloseableIterator;
import org.apache.druid.java.util.common.parsers.ParseException;

/**
 * Reads files in Druid's own input formats. Arguments: a file of requests, one a line ({"file", "inputFormat",
 * "columns"}), the file of answers, a folder for temporary files. An answer is a list of rows, a row a list of the
 * columns' texts (a list of texts for several values), or "BAD" for one that does not parse.
 */
public class ReadFormats {
  public static void main(String[] args) throws Exception {
    ObjectMapper mapper = new DefaultObjectMapper();
    mapper.setInjectableValues(new InjectableValues() {
      @Override
      public Object findInjectableValue(Object id, DeserializationContext context, BeanProperty p, Object bean) {
        return String.valueOf(id).contains("ObjectMapper") ? mapper : null;
      }
    });
    try (PrintWriter out = new PrintWriter(args[1], StandardCharsets.UTF_8)) {
      for (String line : Files.readAllLines(Path.of(args[0]))) {
        out.println(mapper.writeValueAsString(answer(mapper, mapper.readValue(line, Map.class), new File(args[2]))));
      }
    }
    System.exit(0);
  }

  private static List<Object> answer(ObjectMapper mapper, Map<?, ?> request, File scratch) throws Exception {
    InputFormat format = mapper.convertValue(request.get("inputFormat"), InputFormat.class);
    TimestampSpec noTime = new TimestampSpec("__no", "auto", DateTimes.of("2000"));
    InputRowSchema schema = new InputRowSchema(noTime, DimensionsSpec.EMPTY, ColumnsFilter.all());
    FileEntity entity = new FileEntity(new File((String) request.get("file")));
    List<Object> rows = new ArrayList<>();
    try (CloseableIterator<InputRow> found = format.createReader(schema, entity, scratch).read()) {
      while (true) {
        InputRow row;
        try {
          if (!found.hasNext()) {
            return rows;
          }
          row = found.next();
        }
        catch (ParseException e) {
          rows.add("BAD");
          continue;
        }
        List<Object> cells = new ArrayList<>();
        for (Object column : (List<?>) request.get("columns")) {
          cells.add(shown(row.getRaw((String) column)));
        }
        rows.add(cells);
      }
    }
  }

  private static Object shown(Object value) {
    if (value instanceof List) {
      List<Object> several = new ArrayList<>();
      for (Object one : (List<?>) value) {
        several.add(one == null ? null : String.valueOf(one));
      }
      return several;
    }
    return value == null ? null : String.valueOf(value);
  }
}
