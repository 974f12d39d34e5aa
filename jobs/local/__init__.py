"""What `--local` fills its servers with: one seed a job, `<job_name>.sql` or `<job_name>.py`."""
