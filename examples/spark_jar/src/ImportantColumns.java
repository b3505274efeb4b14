package mlplatform.examples;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.apache.spark.ml.classification.RandomForestClassificationModel;
import org.apache.spark.ml.classification.RandomForestClassifier;
import org.apache.spark.ml.feature.VectorAssembler;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.storage.StorageLevel;

/**
 * Grows a forest over a wide table and prints its most important columns, one {@code name importance} a line.
 *
 * <p>{@code spark-submit --class mlplatform.examples.ImportantColumns JAR TABLE LABEL TREES [MOST]}. TABLE is CSV with
 * a header, or ends with {@code .parquet}. LABEL is the column that the others predict.
 */
public final class ImportantColumns {
    private static final int DEPTH = 5;
    private static final long SEED = 7;

    private ImportantColumns() {}

    public static void main(String[] arguments) throws IOException {
        if (arguments.length < 3 || arguments.length > 4) {
            System.err.println("usage: ImportantColumns TABLE LABEL TREES [MOST]");
            System.exit(2);
        }
        String table = arguments[0];
        String label = arguments[1];
        int trees = Integer.parseInt(arguments[2]);
        int most = arguments.length == 4 ? Integer.parseInt(arguments[3]) : 10;
        try (SparkSession spark = SparkSession.builder().appName("important columns").getOrCreate()) {
            for (Ranking.Column found : important(read(spark, table), label, trees, most)) {
                System.out.printf(Locale.ROOT, "%s %.4f%n", found.name(), found.importance());
            }
        }
    }

    private static Dataset<Row> read(SparkSession spark, String table) {
        return table.endsWith(".parquet")
                ? spark.read().parquet(table)
                : spark.read().option("header", true).option("inferSchema", true).csv(table);
    }

    private static List<Ranking.Column> important(Dataset<Row> rows, String label, int trees, int most) {
        String[] names = Arrays.stream(rows.columns()).filter(name -> !name.equals(label)).toArray(String[]::new);
        Dataset<Row> points = new VectorAssembler()
                .setInputCols(names)
                .setOutputCol("features")
                .transform(rows)
                .select("features", label)
                .persist(StorageLevel.MEMORY_AND_DISK());
        RandomForestClassificationModel forest = new RandomForestClassifier()
                .setLabelCol(label)
                .setFeaturesCol("features")
                .setNumTrees(trees)
                .setMaxDepth(DEPTH)
                .setSeed(SEED)
                .fit(points);
        return Ranking.of(List.of(names), forest.featureImportances().toArray(), most);
    }
}
