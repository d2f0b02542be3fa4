"""What the mirror must hold, written down by hand for every column of every table."""

from tds_api.cli.demo.expected import Expected
from tds_api.cli.demo.facts.goods import GOODS
from tds_api.cli.demo.facts.money import MONEY
from tds_api.cli.demo.facts.people import PEOPLE
from tds_api.cli.demo.facts.trade import TRADE

EXPECTED: tuple[Expected, ...] = (*GOODS, *PEOPLE, *TRADE, *MONEY)
