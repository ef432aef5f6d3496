"""Programs that run inside the lab's namespaces: started by path, standard library only."""
