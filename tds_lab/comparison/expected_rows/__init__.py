"""Expected rows of every mirror table, written by hand for every column."""

from tds_lab.comparison.expected_columns import Expected
from tds_lab.comparison.expected_rows.goods import GOODS
from tds_lab.comparison.expected_rows.people import PEOPLE
from tds_lab.comparison.expected_rows.trade import MONEY, TRADE

EXPECTED: tuple[Expected, ...] = (*GOODS, *PEOPLE, *TRADE, *MONEY)
