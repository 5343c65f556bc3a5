"""Programs to run and to read: python -m caffe2op.examples.hogwild"""
