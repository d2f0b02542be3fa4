"""Seeds customers, vendors, users and the locations they work at."""

import random

from zoho_sandbox import sample_words
from zoho_sandbox.organization import fixed_id
from zoho_sandbox.record import Record, State
from zoho_sandbox.seeding.backdated_records import Past


def seed_contacts(past: Past, customers: int, vendors: int) -> tuple[list[Record], list[Record]]:
    """Seed both kinds of contact and answer them apart."""
    rng = past.rng
    buyers = [past.record(_contact(rng, number, "customer")) for number in range(1, customers + 1)]
    sellers = [past.record(_contact(rng, number, "vendor")) for number in range(1, vendors + 1)]
    past.world.seed("contacts", buyers + sellers)
    return buyers, sellers


def seed_users(past: Past, count: int) -> None:
    """Seed the people of the organisation itself, its owner first."""
    users = [past.record(_user(past.rng, number), _user_id(past, number)) for number in range(1, count + 1)]
    past.world.seed("users", users)


def seed_locations(past: Past) -> None:
    """Seed the places that stock and documents belong to."""
    places = past.world.organization.locations
    past.world.seed(
        "locations",
        [
            past.record({"location_name": name, "is_primary": primary, "status": "active"}, location_id)
            for location_id, name, primary in places
        ],
    )


def person(rng: random.Random, number: int) -> State:
    """Names and ways to reach someone."""
    first, last = rng.choice(sample_words.FIRST_NAMES), rng.choice(sample_words.LAST_NAMES)
    return {
        "first_name": first,
        "last_name": last,
        "email": f"contact{number}@example{rng.randrange(40)}.test" if rng.random() < 0.8 else "",
        "phone": f"+964-7{rng.randrange(70, 90)}-{rng.randrange(10**6, 10**7)}" if rng.random() < 0.9 else "",
    }


def _contact(rng: random.Random, number: int, contact_type: str) -> State:
    town = rng.choice(sample_words.TOWNS)
    company = f"{rng.choice(sample_words.LAST_NAMES)} {rng.choice(sample_words.TRADES)} {town}"
    return {
        **person(rng, number),
        "contact_name": f"{company} {number}" if contact_type == "customer" else f"{company} Supply {number}",
        "company_name": company,
        "contact_type": contact_type,
        "status": "active" if rng.random() < 0.96 else "inactive",
        "payment_terms": rng.choice((0, 15, 30)),
        "city": town,
        "street": f"Street {rng.randrange(1, 90)}, No. {rng.randrange(1, 200)}",
        "cf": rng.choice(sample_words.REGIONS),
    }


def _user_id(past: Past, number: int) -> str:
    return past.world.organization.user_id if number == 1 else fixed_id(number)


def _user(rng: random.Random, number: int) -> State:
    role = "admin" if number == 1 else rng.choice(("staff", "staff", "sales", "warehouse"))
    return {
        "name": f"{rng.choice(sample_words.FIRST_NAMES)} {rng.choice(sample_words.LAST_NAMES)}",
        "email": f"user{number}@tworivers.test",
        "user_role": role,
        "role_id": fixed_id(500 + ("admin", "staff", "sales", "warehouse").index(role)),
        "status": "active" if number == 1 or rng.random() < 0.85 else rng.choice(("inactive", "invited")),
    }
