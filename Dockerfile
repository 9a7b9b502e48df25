# An image of limo-ablate, from its wheel: python -m pip wheel --no-deps -w dist . && docker build -t limo-ablate .
FROM python:3.12-slim
WORKDIR /work
COPY constraints.txt dist/*.whl /tmp/install/
# torch first, by its pin; everything else then finds it there
RUN python -m pip install --no-cache-dir "$(grep '^torch==' /tmp/install/constraints.txt)"
RUN python -m pip install --no-cache-dir -c /tmp/install/constraints.txt "$(ls /tmp/install/*.whl)[store,postgres,grpc]"
# the command line works before anybody waits for a GPU
RUN limo-ablate --help > /dev/null && limo-ablate plan miniature > /dev/null
ENTRYPOINT ["limo-ablate"]
