# Install tree and the package that find_package(suture) finds in it.
