"""Files that span many business dates, cut into one landing object per date. No Dagster, no ledger."""
