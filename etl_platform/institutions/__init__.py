"""The tenants: one YAML or TOML file each, validated at load."""
