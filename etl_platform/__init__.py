"""ETL platform for financial files: landing -> bronze -> silver + quarantine -> gold, by date and institution."""

__version__ = "0.1.0"
