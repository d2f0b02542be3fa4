"""A stand-in for Zoho Books and Zoho Inventory, for the demo, the tests and the benchmarks."""
