"""Task definitions in YAML: found, read, validated."""
