require('./runner-tests.cjs')(require('clipn-native'), { test, expect });
