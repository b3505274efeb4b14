package mlplatform.examples;

import java.util.List;

/** Run with assertions: {@code java -ea}. */
final class RankingTest {
    private RankingTest() {}

    public static void main(String[] arguments) {
        List<Ranking.Column> found = Ranking.of(List.of("a", "b", "c", "d"), new double[] {0.1, 0, 0.6, 0.3}, 2);
        assert found.equals(List.of(new Ranking.Column("c", 0.6), new Ranking.Column("d", 0.3))) : found;
        assert Ranking.of(List.of("a"), new double[] {0}, 5).isEmpty() : "a column without importance is listed";
        try {
            Ranking.of(List.of("a"), new double[] {}, 1);
            throw new AssertionError("a missing importance was accepted");
        } catch (IllegalArgumentException expected) {
            assert expected.getMessage().startsWith("0 importances for 1 columns") : expected;
        }
    }
}
