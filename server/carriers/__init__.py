"""Adapters of parcel carriers and their aggregators, behind the port in `server/service/carrier_port.py`."""
