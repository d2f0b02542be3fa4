"""Expected rows of every mirror table, written by hand for every column."""

from tds_lab.comparison.expected_columns import Expected
from tds_lab.comparison.expected_rows.documents import MONEY, TRADE
from tds_lab.comparison.expected_rows.people_and_places import PEOPLE
from tds_lab.comparison.expected_rows.products_and_stock import GOODS

EXPECTED: tuple[Expected, ...] = (*GOODS, *PEOPLE, *TRADE, *MONEY)
