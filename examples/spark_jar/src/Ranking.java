package mlplatform.examples;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** Columns in the order of their importance. */
final class Ranking {
    /** A column with its share of the forest's decisions; the shares of all columns add up to 1. */
    record Column(String name, double importance) {}

    private Ranking() {}

    /**
     * The most important columns, and none without importance.
     *
     * @throws IllegalArgumentException if there is not one importance for each name
     */
    static List<Column> of(List<String> names, double[] importances, int most) {
        if (names.size() != importances.length) {
            throw new IllegalArgumentException(
                    importances.length + " importances for " + names.size() + " columns; give one for each");
        }
        List<Column> found = new ArrayList<>();
        for (int number = 0; number < importances.length; number++) {
            if (importances[number] > 0) {
                found.add(new Column(names.get(number), importances[number]));
            }
        }
        found.sort(Comparator.comparingDouble(Column::importance).reversed().thenComparing(Column::name));
        return found.subList(0, Math.min(most, found.size()));
    }
}
