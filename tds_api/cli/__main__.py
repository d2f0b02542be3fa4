"""`python -m tds_api.cli` is `tds`."""

from tds_api.cli.app import main

if __name__ == "__main__":
    main()
