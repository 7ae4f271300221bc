-- query tag {"app": "etl_platform", "institution": "institution_a", "table": "silver.samples", "partition": "2025-01-13..2025-01-14 (2)"}
DESCRIBE TABLE "INSTITUTION_A"."SAMPLES";
SELECT "ID", "AMOUNT" FROM "INSTITUTION_A"."SAMPLES" WHERE "INSTITUTION" = ? AND "BUSINESS_DATE" IN (?, ?);
-- values institution_a, 2025-01-13, 2025-01-14
-- query tag {"app": "etl_platform", "institution": "institution_b", "table": "silver.samples", "partition": "2025-01-14"}
DESCRIBE TABLE "INSTITUTION_B"."SAMPLES";
SELECT "ID", "AMOUNT" FROM "INSTITUTION_B"."SAMPLES" WHERE "INSTITUTION" = ? AND "BUSINESS_DATE" IN (?);
-- values institution_b, 2025-01-14
