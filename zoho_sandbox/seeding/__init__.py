"""The organisation as it was before anyone called: the same records for the same seed, size and day."""

from zoho_sandbox.seeding.backdated_records import Past
from zoho_sandbox.seeding.catalogue import seed_categories, seed_items, seed_price_lists
from zoho_sandbox.seeding.document_contents import DocumentContents
from zoho_sandbox.seeding.documents import seed_documents
from zoho_sandbox.seeding.people_and_places import seed_contacts, seed_locations, seed_users
from zoho_sandbox.settings import Settings
from zoho_sandbox.world import World


def seed_world(world: World, settings: Settings) -> None:
    """Fill an empty world."""
    past = Past(world, settings)
    seed_categories(past)
    items = seed_items(past, settings.products)
    seed_price_lists(past, items, settings.price_lists, settings.prices)
    seed_users(past, settings.users)
    customers, vendors = seed_contacts(past, settings.customers, settings.vendors)
    seed_documents(past, DocumentContents(past, items, customers, vendors), settings)
    seed_locations(past)
