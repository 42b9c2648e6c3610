"""The scanning gateway: hears frames, keeps them on disk, reports them until the server has stored them."""
