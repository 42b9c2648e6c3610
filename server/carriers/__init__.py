"""What shops, warehouses and parcel carriers say, turned into statements."""
