"""Words the catalogue is made of: brands, goods, towns and people of a wholesale company."""

BRANDS = ("Nordik", "Solara", "Kestrel", "Baltik", "Orionis", "Tigra", "Halcyon", "Vesta", "Duraline", "Mirqab")
KINDS = (
    *("LED Panel", "USB-C Cable", "Water Pump", "Wall Socket", "Power Strip", "Hand Drill", "Filter Cartridge"),
    *("Network Switch", "Solar Inverter", "Ceiling Fan", "Paint Roller", "Door Lock", "Gas Regulator", "Tile Cutter"),
    *("Desk Lamp", "Garden Hose", "Extension Reel", "Smoke Alarm", "Label Printer", "كابل شحن", "مصباح طاولة"),
)
SPECS = ("12V", "24V", "5 m", "10 m", '1/2"', "Pro", "Mini", "XL", "Black", "White & Grey", "Set of 4", "Mk II")
CATEGORIES = ("Lighting", "Tools", "Plumbing", "Electrical", "Networking", "Home")
ORIGINS = ("TR", "CN", "DE", "IT", "")
FIRST_NAMES = ("Ahmed", "Zainab", "Omar", "Layla", "Sara", "Yusuf", "Noor", "Hassan", "Maria", "علي", "José", "Dina")
LAST_NAMES = ("Al-Saadi", "Karim", "Hussein", "Jabbar", "Rahman", "O'Neil", "Demir", "Öztürk", "Petros", "حسين")
TRADES = ("Trading", "Stores", "Electric", "Hardware", "& Sons", "Supplies", "Market", "Imports")
TOWNS = ("Baghdad", "Basra", "Erbil", "Mosul", "Najaf", "Karbala", "Kirkuk", "Sulaymaniyah")
REGIONS = ("North", "South", "Centre", "")
SERVICES = ("Installation", "Delivery", "Annual Maintenance", "Site Survey")
PRICE_LISTS = ("Wholesale", "Retail", "Contractors", "Key Accounts", "Export", "Online")
