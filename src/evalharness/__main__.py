"""`python -m evalharness` is the same program as `evalharness`."""

from evalharness.cli.app import main

if __name__ == "__main__":
    main()
