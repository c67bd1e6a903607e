"""From public data as it is published to a described dataset on disk, in bounded memory."""
