"""What every storey uses: settings, files, processes, devices, statistics."""
