"""The Dagster shell: assets, checks, jobs, schedules, sensors. Import the submodules; nothing is re-exported."""
