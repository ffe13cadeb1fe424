import com.fasterxml.jackson.databind.InjectableValues;
import com.fasterxml.jackson.databind.Module;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import org.apache.druid.guice.BuiltInTypesModule;
import org.apache.druid.jackson.AggregatorsModule;
import org.apache.druid.jackson.DefaultObjectMapper;
import org.apache.druid.math.expr.ExprMacroTable;
import org.apache.druid.query.aggregation.AggregatorFactory;
import org.apache.druid.query.aggregation.datasketches.hll.HllSketchModule;
import org.apache.druid.query.aggregation.datasketches.kll.KllSketchModule;
import org.apache.druid.query.aggregation.datasketches.quantiles.DoublesSketchModule;
import org.apache.druid.query.aggregation.datasketches.theta.SketchModule;
import org.apache.druid.query.aggregation.datasketches.tuple.ArrayOfDoublesSketchModule;
import org.apache.druid.segment.BaseProgressIndicator;
import org.apache.druid.segment.IndexIO;
import org.apache.druid.segment.IndexMergerV9;
import org.apache.druid.segment.IndexSpec;
import org.apache.druid.segment.QueryableIndex;
import org.apache.druid.segment.column.ColumnConfig;
import org.apache.druid.segment.writeout.OnHeapMemorySegmentWriteOutMediumFactory;

/** Merges segments, as compaction does: MergeSegments ROLLUP OUT SEGMENT.. */
public class MergeSegments {
  public static void main(String[] args) throws Exception {
    ObjectMapper mapper = new DefaultObjectMapper();
    mapper.registerModule(new AggregatorsModule());
    // what Druid's own dependency injection would set up
    BuiltInTypesModule.registerHandlersAndSerde();
    HllSketchModule.registerSerde();
    DoublesSketchModule.registerSerde();
    KllSketchModule.registerSerde();
    SketchModule.registerSerde();
    ArrayOfDoublesSketchModule.registerSerde();
    for (Module m : new HllSketchModule().getJacksonModules()) mapper.registerModule(m);
    for (Module m : new DoublesSketchModule().getJacksonModules()) mapper.registerModule(m);
    for (Module m : new KllSketchModule().getJacksonModules()) mapper.registerModule(m);
    for (Module m : new SketchModule().getJacksonModules()) mapper.registerModule(m);
    for (Module m : new ArrayOfDoublesSketchModule().getJacksonModules()) mapper.registerModule(m);
    mapper.setInjectableValues(new InjectableValues.Std()
        .addValue(ExprMacroTable.class, ExprMacroTable.nil())
        .addValue(ObjectMapper.class, mapper));
    IndexIO io = new IndexIO(mapper, ColumnConfig.DEFAULT);
    IndexMergerV9 merger = new IndexMergerV9(mapper, io, OnHeapMemorySegmentWriteOutMediumFactory.instance());
    List<QueryableIndex> indexes = new ArrayList<>();
    for (int i = 2; i < args.length; i++) {
      indexes.add(io.loadIndex(new File(args[i])));
    }
    AggregatorFactory[] aggregators = indexes.get(0).getMetadata().getAggregators();
    merger.mergeQueryableIndex(indexes, Boolean.parseBoolean(args[0]), aggregators, null, new File(args[1]),
        IndexSpec.DEFAULT, IndexSpec.DEFAULT, new BaseProgressIndicator(),
        OnHeapMemorySegmentWriteOutMediumFactory.instance(), -1);
  }
}
