/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root configs: what is refused, with which words and where; what is found at once; defaults;
 * limits.
 *
 * Expected places are not numbers but a mark, '@', in the input: the test takes it out and
 * counts lines and characters up to it by itself.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "config_text.h"
#include "file.h"

struct bad {
    const char *find;     /* in good_config; NULL = `with` is the whole text */
    const char *with;     /* what takes its place, with '@' before the expected place */
    const char *fragment; /* of the expected fault */
    size_t n_errors;
};

#define CLIENT_6                                                                                   \
    "\"10.0.0.6\": {\"type\": \"client\", \"client_number\": 3, \"index\": 2, \"send\": "          \
    "\"10.0.0.3\"}"
#define SWITCH_3                                                                                   \
    "\"10.0.0.3\": {\"type\": \"switch\", \"receive\": [\"10.0.0.6\"], \"send\": \"10.0.0.1\"}"
#define TRAIN "\"train\": {\"epochs\": 2}"

static const struct bad bad_texts[] = {
    {NULL, "@", "the text is empty", 1},
    {NULL, " \n\t@", "the text is empty", 1},
    {NULL, "@null", "a config is an object", 1},
    {NULL, "\n@[{}]", "a config is an object", 1},
    {NULL, "@\"aggregator\"", "a config is an object", 1},
    {NULL, "@\xff\xfe{", "UTF-16", 1},
    {NULL, "{\"a\": \"\xc3\xa4@\xe4\"}", "byte 0xe4 is not UTF-8", 1},
    {NULL, "{\"a\": \"@\xed\xa0\x80\"}", "byte 0xed is not UTF-8", 1},
    {NULL, "@<!DOCTYPE html>", "expected a value", 1},
    {NULL, "{\"a\": 1@", "the '{' of line 1, column 1 is still open", 1},
    {NULL, "{\"a\": [1,\n2\n@", "the '[' of line 1, column 7 is still open", 1},
    {NULL, "{\"a\": [1, 2@}", "the '[' of line 1, column 7 is closed with '}'", 1},
    {NULL, "{}\n@}", "one closing '}' too many", 1},
    {NULL, "{}\n@{}", "text after the end of the document", 1},
    {NULL, "{\"a\": @'b'}", "text goes in double quotes", 1},
    {NULL, "{@'a': 1}", "text goes in double quotes", 1},
    {NULL, "{@a: 1}", "keys go in double quotes", 1},
    {NULL, "{\"a\": @True}", "\"True\" is not JSON here", 1},
    {NULL, "{\"a\": @NaN}", "\"NaN\" is not JSON here", 1},
    {NULL, "{\"a\": @10.0.0.1}", "such as an address goes in double quotes", 1},
    {NULL, "{\"a\": @01}", "does not begin with 0", 1},
    {NULL, "{\"a\": @012}", "does not begin with 0", 1},
    {NULL, "{\"a\": @0x10}", "this is no number", 1},
    {NULL, "{\"a\": @1.}", "this is no number", 1},
    {NULL, "{\"a\": @+1}", "a number begins with a digit", 1},
    {NULL, "{\"a\": 1 @// one\n}", "JSON has no comments", 1},
    {NULL, "{\n@# one\n}", "JSON has no comments", 1},
    {NULL, "{\"a\" @= 1}", "expected ':' after the key \"a\"", 1},
    {NULL, "{\"a\" @1}", "a colon is missing between the key \"a\" and this value", 1},
    {NULL, "{\"a\": @}", "the key \"a\" has no value", 1},
    {NULL, "{\"a\": 1, @}", "a comma stands before this '}'", 1},
    {NULL, "{\"a\": [1, @]}", "a comma stands before this ']'", 1},
    {NULL, "{\"a\": [1,@, 2]}", "two commas in a row", 1},
    {NULL, "{\"a\": 1,@, \"b\": 2}", "two commas in a row", 1},
    {NULL, "{\"a\": [1 @2]}", "a comma is missing before this value", 1},
    {NULL, "{\"a\": @\"b\n}", "no closing quote", 1},
    {NULL, "{\"dir\": \"C:@\\data\"}", "a backslash in a text is written", 1},
    {NULL, "{\"a\": \"x@\ty\"}", "a control character (0x09)", 1},
    {NULL, "{\"a\": \"@\\u12g4\"}", "four hexadecimal digits", 1},
    {"10, \"ip\"", "10 @\"ip\"", "a comma is missing before this key", 1},
    {"\"10.0.0.2\"},\n    ", "\"10.0.0.2\"}\n    @", "a comma is missing before this key", 1},
};

static const struct bad bad_members[] = {
    /* names */
    {"\"aggregator\"", "@\"aggregaotr\"",
     "\"aggregaotr\" is not known here; did you mean \"aggregator\"?", 1},
    {"\"others\"", "@\"other\"", "did you mean \"others\"?", 1},
    {"\"epochs\"", "@\"epoch\"", "train.\"epoch\" is not known here; did you mean \"epochs\"?", 1},
    {"\"epochs\"", "@\"Epochs\"", "did you mean \"epochs\"?", 1},
    {"\"train\"", "@\"trian\"", "did you mean \"train\"?", 1},
    {"\"iteration\"", "@\"iterations\"", "did you mean \"iteration\"?", 1},
    {TRAIN, "@\"epochs\": 2", "it belongs in \"train\"", 1},
    {TRAIN, "\"train\": {@\"resize\": 2}", "it belongs in \"data\"", 1},
    {TRAIN, "@\"nonsense\": 2", "known: aggregator, others, experiment, seed, model", 1},
    {TRAIN, "\"security\": {@\"tls\": true}", "known: nothing yet", 1},
    {TRAIN, "@\"\xc3\xa4\\n\\u001b[31m\": 2", "\"\xc3\xa4??[31m\" is not known here", 1},
    {"\"client_number\": 3, \"index\": 2", "\"client_number\": 3, \"index\": 2, @\"dumb\": true",
     "10.0.0.6: \"dumb\" belongs to switches only", 1},
    {"\"index\": 1, ", "\"index\": 1, @\"indx\": 1, ",
     "10.0.0.5: \"indx\" is not known here; known: type", 1},
    {"\"aggregator\": {\"iteration\": 10, \"ip\": \"10.0.0.1\"},", "", NULL, 1},
    {"\"iteration\": 10, ", "", "aggregator: \"iteration\" is missing: rounds", 1},
    {", \"ip\": \"10.0.0.1\"", "", "aggregator: \"ip\" is missing", 1},
    /* keys that come twice */
    {TRAIN, "\"train\": {\"epochs\": 1, @\"epochs\": 2}",
     "\"epochs\" stands twice in one object, also at line 3, column 13", 1},
    {TRAIN, "\"train\": {\"epochs\": 1, @\"\\u0065pochs\": 2}", "\"epochs\" stands twice", 1},
    {SWITCH_3, SWITCH_3 ",\n@" SWITCH_3, "\"10.0.0.3\" stands twice", 1},
    /* types and ranges */
    {"\"epochs\": 2", "\"epochs\": @0",
     "train.epochs: 0 is too small; allowed: a whole number, 1 .. 1000", 1},
    {"\"epochs\": 2", "\"epochs\": @1001",
     "train.epochs: 1001 is too large; allowed: a whole number, 1 .. 1000", 1},
    {"\"epochs\": 2", "\"epochs\": @-2", "train.epochs: -2 is too small", 1},
    {"\"epochs\": 2", "\"epochs\": @2.5",
     "train.epochs: 2.5 is no whole number; allowed: a whole number, 1 .. 1000", 1},
    {"\"epochs\": 2", "\"epochs\": @\"2\"", "train.epochs: \"2\" is text in quotes", 1},
    {"\"epochs\": 2", "\"epochs\": @1e999",
     "train.epochs: 1e999 is far too large; allowed: a whole number, 1 .. 1000", 1},
    {"\"epochs\": 2", "\"epochs\": @-1e999", "train.epochs: -1e999 is far too small", 1},
    {"\"epochs\": 2", "\"epochs\": @99999999999999999999999",
     "is far too large; allowed: a whole number, 1 .. 1000", 1},
    {"\"epochs\": 2", "\"epochs\": @null", "train.epochs: null is no value", 1},
    {"\"epochs\": 2", "\"epochs\": @true", "train.epochs: true is true or false", 1},
    {"\"epochs\": 2", "\"epochs\": @[2]", "train.epochs: [2] is a list", 1},
    {"\"epochs\": 2", "\"epochs\": @{}", "train.epochs: {} is an object", 1},
    {TRAIN, "\"train\": @[]", "train: [] is a list; allowed: an object", 1},
    {TRAIN, "\"security\": @true", "security: true is true or false; allowed: an object", 1},
    {"\"epochs\": 2", "\"learning_rate\": @0",
     "train.learning_rate: 0 is too small; allowed: a number, above 0 .. 100", 1},
    {"\"epochs\": 2", "\"momentum\": @1.0",
     "train.momentum: 1.0 is too large; allowed: a number, 0 .. below 1", 1},
    {"\"epochs\": 2", "\"type\": @\"builtn\"",
     "train.type: \"builtn\" is not known; allowed: \"builtin\", \"synthetic\", \"command\"; did you "
     "mean \"builtin\"?", 1},
    {TRAIN, "\"model\": {\"params\": @0}", "model.params: 0 is too small", 1},
    {TRAIN, "\"model\": {\"params\": @10000000001}",
     "model.params: 10000000001 is too large; allowed: a whole number, 1 .. 10000000000", 1},
    {"\"epochs\": 2", "\"step_s\": @-1", "train.step_s: -1 is too small", 1},
    {TRAIN, "\"model\": {\"type\": @\"cnm\"}",
     "model.type: \"cnm\" is not known; allowed: \"mlp\", \"logistic\", \"linear\", \"cnn\"; did you "
     "mean \"cnn\"?", 1},
    {TRAIN, "\"model\": {\"type\": \"logistic\", \"layers\": @[4, 5, 6]}",
     "model.layers: 3 layer sizes; logistic regression has 2: features, classes", 1},
    {TRAIN, "\"model\": {\"type\": \"linear\", \"layers\": @[4, 2]}",
     "model.layers: linear regression has one output, not 2", 1},
    {TRAIN, "\"model\": {\"type\": \"cnn\", \"layers\": @[64, 2, 2, 2, 2]}",
     "model.layers: images of 8 x 8 are too small", 1},
    {"\"epochs\": 2", "\"proximal_mu\": @-0.1", "train.proximal_mu: -0.1 is too small", 1},
    {TRAIN, "\"data\": {\"partition\": @\"dirichlett\"}", "did you mean \"dirichlet\"?", 1},
    {TRAIN, "\"data\": {\"alpha\": @0}",
     "data.alpha: 0 is too small; allowed: a number, above 0 .. ", 1},
    {TRAIN, "\"data\": {\"alpha\": @-1}", "data.alpha: -1 is too small", 1},
    {TRAIN, "\"data\": {\"min_samples\": @0}", "data.min_samples: 0 is too small", 1},
    {TRAIN, "\"data\": {\"shards_per_client\": @0}", "data.shards_per_client: 0 is too small", 1},
    {TRAIN, "\"data\": {\"label\": @\"\"}", "data.label", 1},
    {TRAIN, "\"model\": {\"type\": \"linear\"}, \"data\": {\"partition\": @\"shards\"}",
     "data.partition: shards goes by classes, and model.type linear has none", 1},
    {TRAIN, "\"seed\": @-1",
     "seed: -1 is too small; allowed: a whole number, 0 .. 9007199254740992", 1},
    {TRAIN, "\"seed\": @9007199254740993", "seed: 9007199254740993 is too large", 1},
    {TRAIN, "\"experiment\": @\".hidden\"", "not beginning with '.'", 1},
    {TRAIN, "\"experiment\": @\"../up\"", "experiment: \"../up\" has other characters", 1},
    {TRAIN, "\"experiment\": @\"\"", "experiment: \"\" is empty", 1},
    {TRAIN, "\"experiment\": @\"a234567890123456789012345678901234567890123456789012345678901234\"",
     "is too long; allowed: 1 .. 63 letters", 1},
    {TRAIN, "\"data\": {\"dir\": @\"a\\nb\"}", "data.dir: \"a\\nb\" has control characters", 1},
    {TRAIN, "\"data\": {\"dir\": @7}", "data.dir: 7 is a number; allowed: text of 1 .. 511 bytes",
     1},
    {TRAIN, "\"model\": {\"layers\": @[10]}", "model.layers: [10] has one number", 1},
    {TRAIN, "\"model\": {\"layers\": [784, @0, 10]}", "model.layers: 0 is too small", 1},
    {TRAIN, "\"model\": {\"layers\": @[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}",
     "has too many numbers", 1},
    {TRAIN, "\"encryption\": {\"profile\": @\"capsul\"}",
     "encryption.profile: \"capsul\" is not known; allowed: \"none\", \"bfv\", \"capsule\", "
     "\"seal-ckks\"; did you mean \"capsule\"?",
     1},
    {TRAIN, "\"encryption\": {\"profile\": @\"rsa\"}",
     "encryption.profile: \"rsa\" is not known; allowed: \"none\", \"bfv\", \"capsule\", "
     "\"seal-ckks\"", 1},
    {TRAIN, "\"encryption\": {\"key_holder\": @\"me\"}", "allowed: \"aggregator\"", 1},
    {TRAIN, "\"encryption\": {\"value_bits\": @25}",
     "encryption.value_bits: 25 is too large; allowed: a whole number, 2 .. 24", 1},
    {TRAIN, "\"server\": {\"autostart\": @\"true\"}",
     "server.autostart: \"true\" is text in quotes; allowed: true or false", 1},
    {TRAIN, "\"server\": {\"batch_bytes\": @65535}", "allowed: a whole number, 65536 .. 268435456",
     1},
    {TRAIN, "\"round\": {\"deadline_s\": @0.5}", "allowed: a number, 1 .. 86400", 1},
    /* iteration */
    {"\"iteration\": 10", "\"iteration\": @0",
     "aggregator: iteration: 0 is too small; allowed: a whole number, 1 .. 100000", 1},
    {"\"iteration\": 10", "\"iteration\": @-1", "aggregator: iteration: -1 is too small", 1},
    {"\"iteration\": 10", "\"iteration\": @1e9",
     "aggregator: iteration: 1e9 is too large; allowed: a whole number, 1 .. 100000", 1},
    {"\"iteration\": 10", "\"iteration\": @\"10\"",
     "aggregator: iteration: \"10\" is text in quotes", 1},
    /* settings against each other */
    {TRAIN, "\"round\": {\"privacy_floor\": @4}",
     "round.privacy_floor: 4 is more than the number of clients, 3", 1},
    {TRAIN, "\"privacy\": {\"noise_multiplier\": @1}",
     "privacy.noise_multiplier: noise hides updates of a bounded length only; set privacy.clip_norm", 1},
    {TRAIN, "\"privacy\": {\"noise_multiplier\": 1, \"clip_norm\": 2}, "
            "\"encryption\": {\"error_feedback\": @true}",
     "encryption.error_feedback: true carries an update into later rounds", 1},
    {TRAIN, "\"privacy\": {\"noise_multiplier\": 1, \"clip_norm\": 2}, "
            "\"encryption\": {\"only\": @[\"fc.*\"]}",
     "encryption.only: of what goes in plain each update is covered by its client's share of the noise alone", 1},
    {TRAIN, "\"strategy\": {\"name\": @\"adam\"}", "strategy.name", 1},
    {TRAIN, "\"round\": {\"quorum\": @4}",
     "round.quorum: 4 is more than the number of clients, 3: no sum could ever change the model; "
     "below 1 it is a share of them",
     1},
    {TRAIN, "\"round\": {\"quorum\": @1.5}",
     "round.quorum: 1.5 is neither a share of the clients, below 1, nor a number of clients", 1},
    {TRAIN, "\"round\": {\"quorum\": @1.0000001}", "round.quorum: 1.0000001 is neither a share", 1},
    {TRAIN, "\"round\": {\"quorum\": @0}",
     "round.quorum: 0 is too small; allowed: a number, above 0 .. 10000", 1},
    {TRAIN, "\"round\": {\"grace_s\": @-1}", "allowed: a number, 0 .. 86400", 1},
    {TRAIN, "\"server\": {\"heartbeat_s\": @0.05}", "allowed: a number, 0.1 .. 3600", 1},
    {TRAIN, "\"server\": {\"window_bytes\": @0}", "allowed: a whole number, 65536 .. 1099511627776",
     1},
    {TRAIN, "\"round\": {\"frame_params\": @8388608}", "but server.batch_bytes is 4194304", 1},
    {TRAIN, "\"server\": {\"batch_bytes\": @65536}", "a frame of 4096 parameters needs ", 1},
};

static const struct bad bad_nodes[] = {
    {"\"type\": \"client\", \"client_number\": 3, \"index\": 0",
     "\"type\": @\"cleint\", \"client_number\": 3, \"index\": 0",
     "10.0.0.4: type: \"cleint\" is not known; allowed: \"client\", \"switch\"; did you mean "
     "\"client\"?",
     1},
    {"\"type\": \"switch\", \"receive\": [\"10.0.0.6\"]", "\"receive\": [\"10.0.0.6\"]",
     "10.0.0.3: \"type\" is missing", 1},
    {"\"index\": 1", "\"index\": @0", "10.0.0.5:5000: index: 0 is also the index of 10.0.0.4:5000",
     1},
    {"\"index\": 2", "\"index\": @3", "10.0.0.6:5000: index: 3 is outside 0 .. 2", 1},
    {"\"index\": 2", "\"index\": @-1", "10.0.0.6: index: -1 is too small", 1},
    {"\"client_number\": 3, \"index\": 2", "\"client_number\": @5, \"index\": 2",
     "10.0.0.6:5000: client_number: 5, but 3 clients are listed", 1},
    {", \"index\": 2", "", "10.0.0.6: \"index\" is missing", 1},
    {"\"10.0.0.4\", \"10.0.0.5\"", "\"10.0.0.4\", \"10.0.0.5\", @\"10.0.0.6\"",
     "10.0.0.2:5000: receive: 10.0.0.6:5000 sends to 10.0.0.3:5000, not here", 1},
    {"\"index\": 1, \"send\": \"10.0.0.2\"", "\"index\": 1, \"send\": @\"10.0.0.3\"",
     "10.0.0.5:5000: send: the receive list of 10.0.0.3:5000 does not name this node", 2},
    {"\"10.0.0.4\", \"10.0.0.5\"", "\"10.0.0.4\", \"10.0.0.5\", @\"10.0.0.4:5000\"",
     "10.0.0.4:5000 is listed twice", 1},
    {"[\"10.0.0.6\"]", "[\"10.0.0.6\", @\"10.0.0.7\"]",
     "10.0.0.3:5000: receive: there is no node 10.0.0.7:5000; did you mean", 1},
    {"[\"10.0.0.6\"]", "[\"10.0.0.6\", @7]", "receive: \"\" is no address in quotes", 1},
    {"[\"10.0.0.6\"]", "[\"10.0.0.6\", @\"10.0.0.1\"]", "10.0.0.1:5000 is the aggregator", 1},
    {"[\"10.0.0.6\"]", "@[]", "10.0.0.3:5000: receive: is empty", 2},
    {"[\"10.0.0.6\"]", "@\"10.0.0.6\"", "10.0.0.3: receive: \"10.0.0.6\" is text; allowed: a list",
     1},
    {"\"index\": 2, \"send\": \"10.0.0.3\"", "\"index\": 2, \"send\": @\"10.0.0.5\"",
     "10.0.0.6:5000: send: 10.0.0.5:5000 is a client", 1},
    {"\"index\": 2, \"send\": \"10.0.0.3\"", "\"index\": 2, \"send\": @\"node9\"",
     "10.0.0.6:5000: send: there is no node node9:5000", 1},
    {"\"receive\": [\"10.0.0.6\"], \"send\": \"10.0.0.1\"",
     "\"receive\": [\"10.0.0.6\", \"10.0.0.3\"], \"send\": @\"10.0.0.3\"",
     "send in a circle: 10.0.0.3:5000 -> 10.0.0.3:5000", 2},
    {"\"send\": \"10.0.0.1\", \"ip\": \"10.0.0.2\"",
     "\"send\": \"10.0.0.99\", \"ip\": \"10.0.0.2\"",
     "10.0.0.2:5000: send: there is no node 10.0.0.99:5000", 3},
    {"\"ip\": \"10.0.0.2\"", "\"ip\": @\"10.0.0.20\"",
     "ip: 10.0.0.20:5000 is not the address that this node stands under", 1},
    {"\"ip\": \"10.0.0.2\"", "\"ip\": \"10.0.0.2:5000\", \"dumb\": @1",
     "10.0.0.2: dumb: 1 is a number; allowed: true or false", 1},
    {CLIENT_6,
     CLIENT_6 ",\n@\"10.0.0.6:5000\": {\"type\": \"client\", \"client_number\": 4, \"index\": 3, "
              "\"send\": \"10.0.0.3\"}",
     "10.0.0.6:5000 is already the address of the node at line 9, column 5", 4},
    {"\"iteration\": 10, \"ip\": \"10.0.0.1\"",
     "\"iteration\": 10, \"ip\": \"10.0.0.1\", \"receive\": [\"10.0.0.2\", \"10.0.0.3\", "
     "@\"10.0.0.4\"]",
     "10.0.0.1:5000: receive: 10.0.0.4:5000 sends to 10.0.0.2:5000, not here", 1},
    {"\"iteration\": 10, \"ip\": \"10.0.0.1\"",
     "\"iteration\": 10, \"ip\": \"10.0.0.1\", \"receive\": [\"10.0.0.2\"]",
     "10.0.0.3:5000: send: the receive list of 10.0.0.1:5000 does not name this node", 1},
    {CLIENT_6, "\"10.0.0.6\": @null", "10.0.0.6: a node is an object", 1},
    /* addresses */
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"10.0.0.1:0\"",
     "aggregator: ip: \"10.0.0.1:0\" has no good port after the colon; allowed: 1 .. 65535", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"10.0.0.1:65536\"", "has no good port", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"10.0.0.1:\"", "has no good port", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"10.0.0.1:5k\"", "has no good port", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"10.0.0.256\"", "is no IPv4 address", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"0.0.0.0\"", "means every interface", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"http://10.0.0.1\"", "is a URL", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"::1\"", "goes in brackets", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"[::1\"", "no closing bracket", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"[::g]:5000\"", "is no IPv6 address", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"[::1]5000\"", "between the bracket and the port", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"my host\"", "is no address", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"-a\"", "is no address", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"a..b\"", "is no address", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @\"\"", "has no host", 1},
    {"\"ip\": \"10.0.0.1\"", "\"ip\": @5000",
     "aggregator: ip: 5000 is a number; allowed: an address in quotes", 1},
    {"\"10.0.0.4\": {", "@\"10.0.0.4:x\": {", "others: \"10.0.0.4:x\" has no good port", 2},
};

/* The good config with `find` replaced; the mark taken out. Free with free(). */
static char *make_text(const struct bad *row, unsigned *line, unsigned *column)
{
    const char *base = row->find != NULL ? good_config : row->with;
    const char *at = row->find != NULL ? strstr(good_config, row->find) : NULL;
    struct buf b = {0};
    assert_true(row->find == NULL || at != NULL);
    if (at != NULL) {
        assert_int_equal(buf_append(&b, base, (size_t)(at - base)), 0);
        assert_int_equal(buf_append(&b, row->with, strlen(row->with)), 0);
        base = at + strlen(row->find);
    }
    assert_int_equal(buf_append(&b, base, strlen(base) + 1), 0);
    char *text = (char *)b.data;
    char *mark = strchr(text, '@');
    *line = *column = 0;
    if (mark != NULL) {
        *line = *column = 1;
        for (char *c = text; c < mark; c++) {
            *line += *c == '\n';
            *column = *c == '\n' ? 1 : *column + (((unsigned char)*c & 0xC0) != 0x80);
        }
        memmove(mark, mark + 1, strlen(mark));
    }
    return text;
}

static void print_faults(const char *text, const struct fed_faults *faults)
{
    print_error("%s\n", text);
    for (size_t i = 0; i < faults->n; i++) {
        const struct fed_fault *f = &faults->list[i];
        print_error("  %u:%u: %s%s\n", f->line, f->column, f->warning ? "warning: " : "", f->text);
    }
}

static bool has_fault(const struct fed_faults *faults, const char *fragment, unsigned line,
                      unsigned column)
{
    for (size_t i = 0; i < faults->n; i++) {
        const struct fed_fault *f = &faults->list[i];
        bool here = line == 0 || (f->line == line && f->column == column);
        if (here && !f->warning && (fragment == NULL || strstr(f->text, fragment) != NULL)) {
            return true;
        }
    }
    return false;
}

/* @return whether the row is as expected */
static bool check_row(const struct bad *row)
{
    unsigned line;
    unsigned column;
    struct fed_config config;
    struct fed_faults faults;
    char *text = make_text(row, &line, &column);
    int err = fed_config_read("test.json", text_span(text), &config, &faults);
    bool good = err == CAIRN_ERR_CONFIG && faults.n_errors == row->n_errors &&
                has_fault(&faults, row->fragment, line, column);
    if (!good) {
        print_faults(text, &faults);
        print_error("expected \"%s\" at %u:%u and %zu errors, got %zu\n\n", row->fragment, line,
                    column, row->n_errors, faults.n_errors);
    }
    for (size_t i = 0; i < faults.n; i++) {
        assert_true(faults.list[i].line >= 1 && faults.list[i].column >= 1);
    }
    if (err == 0) {
        fed_config_release(&config);
    }
    fed_faults_release(&faults);
    free(text);
    return good;
}

static void check_rows(const struct bad *rows, size_t n)
{
    size_t failed = 0;
    for (size_t i = 0; i < n; i++) {
        failed += check_row(&rows[i]) ? 0 : 1;
    }
    assert_int_equal(failed, 0);
}

static void test_config__bad_texts(void **state)
{
    (void)state;
    check_rows(bad_texts, sizeof bad_texts / sizeof bad_texts[0]);
}

static void test_config__bad_members(void **state)
{
    (void)state;
    check_rows(bad_members, sizeof bad_members / sizeof bad_members[0]);
}

static void test_config__bad_nodes(void **state)
{
    (void)state;
    check_rows(bad_nodes, sizeof bad_nodes / sizeof bad_nodes[0]);
}

/* Read a text that must be good. The caller releases both. */
static void read_good(const char *name, struct span text, struct fed_config *config,
                      struct fed_faults *faults)
{
    int err = fed_config_read(name, text, config, faults);
    if (err != 0) {
        print_faults("", faults);
    }
    assert_int_equal(err, 0);
}

static bool has_warning(const struct fed_faults *faults, const char *fragment)
{
    for (size_t i = 0; i < faults->n; i++) {
        if (faults->list[i].warning && strstr(faults->list[i].text, fragment) != NULL) {
            return true;
        }
    }
    return false;
}

/* Two clients with one index, a wrong count, a circle, an unknown parent, a lost node, a word, a
 * range, a misspelt key: one reading tells them all, in the order of the text. */
static void test_config__all_at_once(void **state)
{
    (void)state;
    static const char text[] =
        "{\n"
        "  \"aggregator\": {\"iteration\": 0, \"ip\": \"10.0.0.1\"},\n"
        "  \"encryption\": {\"profile\": \"rsa\", \"valuebits\": 8},\n"
        "  \"others\": {\n"
        "    \"a\": {\"type\": \"switch\", \"receive\": [\"b\"], \"send\": \"b\"},\n"
        "    \"b\": {\"type\": \"switch\", \"receive\": [\"a\", \"c2\"], \"send\": \"a\"},\n"
        "    \"c1\": {\"type\": \"client\", \"client_number\": 2, \"index\": 1, \"send\": "
        "\"zzz\"},\n"
        "    \"c2\": {\"type\": \"client\", \"client_number\": 5, \"index\": 1, \"send\": \"b\"}\n"
        "  }\n"
        "}\n";
    static const struct {
        unsigned line, column;
        const char *fragment;
    } expected[] = {
        {2, 31, "iteration: 0 is too small"},
        {3, 29, "\"rsa\" is not known"},
        {3, 36, "did you mean \"value_bits\"?"},
        {5, 55, "these nodes send in a circle: a:5000 -> b:5000 -> a:5000"},
        {7, 70, "there is no node zzz:5000"},
        {8, 5, "c2:5000: does not reach the aggregator, for b:5000"},
        {8, 47, "client_number: 5, but 2 clients are listed"},
        {8, 59, "index: 1 is also the index of c1:5000"},
    };
    struct fed_config config;
    struct fed_faults faults;
    assert_int_equal(fed_config_read("x", text_span(text), &config, &faults), CAIRN_ERR_CONFIG);
    size_t k = 0;
    for (size_t i = 0; i < faults.n; i++) {
        if (faults.list[i].warning) {
            continue;
        }
        assert_true(k < sizeof expected / sizeof expected[0]);
        assert_non_null(strstr(faults.list[i].text, expected[k].fragment));
        assert_int_equal(faults.list[i].line, expected[k].line);
        assert_int_equal(faults.list[i].column, expected[k].column);
        k++;
    }
    assert_int_equal(k, sizeof expected / sizeof expected[0]);
    assert_int_equal(faults.n_errors, 8);
    fed_faults_release(&faults);
}

/* A switch that sends to the aggregator, but whose only child sends elsewhere. */
static void test_config__orphan_switch(void **state)
{
    (void)state;
    static const struct bad row = {
        "\"index\": 2, \"send\": \"10.0.0.3\"", "\"index\": 2, \"send\": @\"10.0.0.2\"",
        "10.0.0.6:5000: send: the receive list of 10.0.0.2:5000 does not name this node", 2};
    assert_true(check_row(&row));
}

static void test_config__defaults(void **state)
{
    (void)state;
    struct fed_config c;
    struct fed_faults faults;
    read_good("runs/my first.v2.json", text_span(good_config), &c, &faults);
    const struct fed_settings *s = &c.settings;
    assert_int_equal(faults.n, 0);
    assert_int_equal(c.iterations, 10);
    assert_string_equal(s->experiment, "my-first.v2");
    assert_int_equal(s->seed, 1);
    assert_int_equal(s->n_layers, 0);
    assert_string_equal(s->data_dir, "data");
    assert_int_equal(s->resize, 0);
    assert_int_equal(s->model, TRAIN_MLP);
    assert_int_equal(s->partition, TRAIN_CONTIGUOUS);
    assert_string_equal(s->data_label, "label");
    assert_true(s->alpha == 0.5 && s->min_samples == 1 && s->shards_per_client == 2);
    assert_true(s->proximal_mu == 0);
    assert_string_equal(s->train_type, "builtin");
    assert_true(s->params == 1000000 && s->step_s == 0);
    assert_int_equal(s->epochs, 2);
    assert_int_equal(s->batch, 32);
    assert_true(s->learning_rate == 0.1 && s->momentum == 0.9);
    assert_int_equal(s->profile, HE_CAPSULE);
    assert_int_equal(s->key_holder, FED_KEY_AGGREGATOR);
    assert_int_equal(s->value_bits, 16);
    assert_true(s->deadline_s == 600 && s->start_timeout_s == 60);
    assert_true(s->quorum == 0.5 && s->grace_s == 0 && s->heartbeat_s == 5);
    assert_int_equal(s->window_bytes, 67108864);
    assert_int_equal(s->privacy_floor, 3);
    assert_int_equal(s->frame_params, 524288);
    assert_int_equal(s->workers, 16);
    assert_int_equal(s->server_threads, 0);
    assert_int_equal(s->max_connections, 1024);
    assert_int_equal(s->batch_bytes, 4194304);
    assert_true(s->autostart);
    assert_string_equal(s->log_dir, "log");
    assert_string_equal(s->runs_dir, "runs");
    assert_int_equal(c.tree.n_nodes, 6);
    assert_int_equal(c.tree.n_clients, 3);
    assert_int_equal(c.tree.n_switches, 2);
    assert_string_equal(c.tree.nodes[2].address, "10.0.0.3:5000");
    assert_int_equal(c.tree.nodes[5].parent, 2);
    assert_int_equal(c.tree.nodes[5].index, 2);
    assert_int_equal(c.tree.nodes[5].depth, 2);
    fed_config_release(&c);
    fed_faults_release(&faults);
}

static void test_config__default_names(void **state)
{
    (void)state;
    static const struct {
        const char *file, *name;
    } rows[] = {{"config.json", "config"},
                {"/a.b/c", "c"},
                {".hidden.json", "hidden"},
                {"", "experiment"},
                {"../..", "experiment"},
                {"\xc3\xa4.json", "--"},
                {"a234567890123456789012345678901234567890123456789012345678901234.json",
                 "a23456789012345678901234567890123456789012345678901234567890123"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fed_config c;
        struct fed_faults faults;
        read_good(rows[i].file, text_span(good_config), &c, &faults);
        assert_string_equal(c.settings.experiment, rows[i].name);
        fed_config_release(&c);
        fed_faults_release(&faults);
    }
}

static void test_config__byte_order_mark_is_skipped(void **state)
{
    (void)state;
    struct fed_config c;
    struct fed_faults faults;
    struct buf b = {0};
    assert_int_equal(buf_printf(&b, "\xef\xbb\xbf%s", good_config), 0);
    read_good("x", buf_span(&b), &c, &faults);
    fed_config_release(&c);
    fed_faults_release(&faults);
    buf_clear(&b);
    assert_int_equal(buf_printf(&b, "\xef\xbb\xbf[]"), 0);
    assert_int_equal(fed_config_read("x", buf_span(&b), &c, &faults), CAIRN_ERR_CONFIG);
    assert_int_equal(faults.list[0].line, 1);
    assert_int_equal(faults.list[0].column, 1);
    fed_faults_release(&faults);
    buf_release(&b);
}

/* Everything that may be written, written, at the ends of its range. */
static void test_config__every_setting(void **state)
{
    (void)state;
    struct bad row = {
        TRAIN,
        "\"experiment\": \"A_b-c.9\", \"seed\": 9007199254740992, \"model\": {\"layers\": [1, "
        "1000000], \"params\": 10000000000}, "
        "\"data\": {\"dir\": \"/d\", \"resize\": 1024, \"label\": \"y\", "
        "\"partition\": \"shards\", \"alpha\": 1e-9, \"min_samples\": 4294967295, "
        "\"shards_per_client\": 1000000}, \"train\": {\"type\": \"synthetic\", "
        "\"step_s\": 0.5, \"epochs\": 1e3, "
        "\"batch\": 65536, \"learning_rate\": 100, \"momentum\": 0}, \"encryption\": {\"profile\": "
        "\"bfv\", \"key_holder\": \"aggregator\", \"value_bits\": 2}, \"round\": {\"deadline_s\": "
        "1.5, "
        "\"privacy_floor\": 3, \"frame_params\": 2048, \"quorum\": 3, \"grace_s\": 86400}, "
        "\"server\": {\"workers\": 64, \"window_bytes\": 1099511627776, \"heartbeat_s\": 0.1, "
        "\"max_connections\": 16, \"batch_bytes\": 268435456, \"start_timeout_s\": 86400, "
        "\"autostart\": false}, \"security\": {}, \"log\": {\"dir\": \"l\", \"runs\": \"r\"}",
        NULL, 0};
    unsigned line;
    unsigned column;
    struct fed_config c;
    struct fed_faults faults;
    char *text = make_text(&row, &line, &column);
    read_good("x", text_span(text), &c, &faults);
    assert_string_equal(c.settings.experiment, "A_b-c.9");
    assert_true(c.settings.seed == 9007199254740992u);
    assert_int_equal(c.settings.n_layers, 2);
    assert_int_equal(c.settings.layers[1], 1000000);
    assert_true(c.settings.params == 10000000000 && c.settings.step_s == 0.5);
    assert_string_equal(c.settings.train_type, "synthetic");
    assert_int_equal(c.settings.resize, 1024);
    assert_int_equal(c.settings.partition, TRAIN_SHARDS);
    assert_string_equal(c.settings.data_label, "y");
    assert_true(c.settings.alpha == 1e-9 && c.settings.min_samples == UINT32_MAX);
    assert_int_equal(c.settings.shards_per_client, 1000000);
    assert_int_equal(c.settings.epochs, 1000);
    assert_int_equal(c.settings.profile, HE_BFV);
    assert_int_equal(c.settings.batch_bytes, 268435456);
    assert_true(c.settings.deadline_s == 1.5 && !c.settings.autostart);
    assert_true(c.settings.quorum == 3 && c.settings.grace_s == 86400);
    assert_true(c.settings.window_bytes == UINT64_C(1) << 40 && c.settings.heartbeat_s == 0.1);
    fed_config_release(&c);
    fed_faults_release(&faults);
    free(text);
}

/* What the chosen trainer does not look at is said, and stops nothing. */
static void test_config__warns_of_the_other_trainers_settings(void **state)
{
    (void)state;
    static const struct {
        const char *sections, *fragment; /* NULL: no such warning */
    } rows[] = {
        {"\"model\": {\"params\": 5}", "model.params: is for train.type synthetic"},
        {"\"model\": {\"layers\": [2, 3]}", NULL},
        {"\"train\": {\"type\": \"synthetic\"}, \"model\": {\"params\": 5}", NULL},
        {"\"train\": {\"type\": \"synthetic\"}, \"model\": {\"layers\": []}", NULL},
        {"\"train\": {\"type\": \"synthetic\"}, \"model\": {\"layers\": [2, 3]}",
         "model.layers: train.type synthetic has no layers"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bad row = {TRAIN, rows[i].sections, NULL, 0};
        unsigned line;
        unsigned column;
        struct fed_config c;
        struct fed_faults faults;
        char *text = make_text(&row, &line, &column);
        read_good("x", text_span(text), &c, &faults);
        assert_int_equal(has_warning(&faults, "synthetic"), rows[i].fragment != NULL);
        assert_true(rows[i].fragment == NULL || has_warning(&faults, rows[i].fragment));
        fed_config_release(&c);
        fed_faults_release(&faults);
        free(text);
    }
}

/* fed_settings_json gives what fed_config_read takes, with the same values. */
static void test_config__settings_as_json(void **state)
{
    (void)state;
    struct fed_config c;
    struct fed_config again;
    struct fed_faults faults;
    json_error_t error;
    read_good("x", text_span(good_config), &c, &faults);
    fed_faults_release(&faults);
    json_t *document = json_loads(good_config, 0, &error);
    json_t *settings = fed_settings_json(&c.settings);
    assert_int_equal(json_object_update(document, settings), 0);
    assert_true(json_object_get(json_object_get(settings, "round"), "privacy_floor") != NULL);
    char *text = json_dumps(document, 0);
    read_good("y", text_span(text), &again, &faults);
    json_t *settings_again = fed_settings_json(&again.settings);
    assert_true(json_equal(settings, settings_again));
    assert_string_equal(again.settings.experiment, "x");
    free(text);
    json_decref(document);
    json_decref(settings);
    json_decref(settings_again);
    fed_config_release(&c);
    fed_config_release(&again);
    fed_faults_release(&faults);
}

static char *federation(unsigned n_clients, const char *settings)
{
    struct buf b = {0};
    assert_int_equal(
        buf_printf(&b, "{\"aggregator\": {\"iteration\": 1, \"ip\": \"agg\"}, %s\n\"others\": {",
                   settings),
        0);
    for (unsigned i = 0; i < n_clients; i++) {
        assert_int_equal(buf_printf(&b,
                                    "%s\n\"c%u\": {\"type\": \"client\", \"client_number\": %u, "
                                    "\"index\": %u, \"send\": \"agg\"}",
                                    i > 0 ? "," : "", i, n_clients, i),
                         0);
    }
    assert_int_equal(buf_append(&b, "}}", 3), 0);
    return (char *)b.data;
}

static void test_config__warnings(void **state)
{
    (void)state;
    static const struct {
        unsigned clients;
        const char *settings;
        const char *fragment;
        uint32_t floor;
    } rows[] = {
        {1, "", "whoever opens it learns it", 1},
        {2, "", "with 2 clients each of them can subtract", 2},
        {4, "\"round\": {\"privacy_floor\": 2},", "2 lets a sum of two clients be opened", 2},
        {4, "\"round\": {\"privacy_floor\": 1},", "1 lets a sum of a single client be opened", 1},
        {3, "\"encryption\": {\"profile\": \"none\"},", "updates travel unencrypted", 3},
        {12, "\"round\": {\"privacy_floor\": 7},", NULL, 7},
        {12, "\"round\": {\"quorum\": 0.1},",
         "2 of 12 clients are fewer than round.privacy_floor, 3, which decides", 3},
        {12, "\"round\": {\"quorum\": 4, \"privacy_floor\": 5},", "4 of 12 clients are fewer", 5},
        {12, "\"round\": {\"quorum\": 0.25},", NULL, 3},
        {4, "\"round\": {\"quorum\": 1},", "1 of 4 clients are fewer", 3},
        {4, "\"round\": {\"quorum\": 4},", NULL, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fed_config c;
        struct fed_faults faults;
        char *text = federation(rows[i].clients, rows[i].settings);
        read_good("x", text_span(text), &c, &faults);
        assert_int_equal(faults.n_errors, 0);
        assert_int_equal(faults.n, rows[i].fragment != NULL ? 1 : 0);
        assert_true(rows[i].fragment == NULL || has_warning(&faults, rows[i].fragment));
        assert_int_equal(c.settings.privacy_floor, rows[i].floor);
        fed_config_release(&c);
        fed_faults_release(&faults);
        free(text);
    }
}

/* Worked out by hand: shares are rounded up, and mean the same share at every node. */
/* What is left out with one strategy is not what it is with another; and noise forbids that anything is owed. */
static void test_config__defaults_that_hang_on_other_settings(void **state)
{
    (void)state;
    static const struct {
        const char *sections;
        double learning_rate, beta1;
        bool error_feedback;
        const char *warning;
    } rows[] = {
        {"", 1, 0.9, true, NULL},
        {"\"strategy\": {\"name\": \"fedavgm\"},", 1, 0.9, true, NULL},
        {"\"strategy\": {\"name\": \"fedadam\"},", 0.03, 0.9, true, NULL},
        {"\"strategy\": {\"name\": \"fedyogi\", \"learning_rate\": 1},", 1, 0.9, true, NULL},
        {"\"strategy\": {\"name\": \"fedadagrad\"},", 0.03, 0, true, NULL},
        {"\"strategy\": {\"name\": \"fedadagrad\", \"beta1\": 0.9},", 0.03, 0.9, true, NULL},
        {"\"strategy\": {\"tau\": 0.1},", 1, 0.9, true, "strategy.tau: has no effect"},
        {"\"privacy\": {\"clip_norm\": 1},", 1, 0.9, true, NULL},
        {"\"privacy\": {\"clip_norm\": 1, \"noise_multiplier\": 1},", 1, 0.9, false, NULL},
        {"\"privacy\": {\"clip_norm\": 1, \"noise_multiplier\": 1}, "
         "\"encryption\": {\"profile\": \"none\"},",
         1, 0.9, false, "no more than that"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fed_config c;
        struct fed_faults faults;
        char *text = federation(5, rows[i].sections);
        assert_int_equal(fed_config_read("x", text_span(text), &c, &faults), 0);
        assert_true(c.settings.strategy.learning_rate == rows[i].learning_rate);
        assert_true(c.settings.strategy.beta1 == rows[i].beta1);
        assert_true(c.settings.error_feedback == rows[i].error_feedback);
        assert_true(rows[i].warning != NULL ? has_warning(&faults, rows[i].warning) : faults.n == 0);
        fed_faults_release(&faults);
        fed_config_release(&c);
        free(text);
    }
}

static void test_config__quorum_in_clients(void **state)
{
    (void)state;
    static const struct {
        double quorum;
        uint32_t n_clients, below, clients;
    } rows[] = {
        {0.5, 12, 12, 6},
        {0.5, 13, 13, 7},
        {0.5, 1, 1, 1},
        {0.001, 12, 12, 1},
        {0.999, 12, 12, 12},
        {0.07, 100, 100, 7}, /* 0.07 * 100 > 7 */
        {0.7, 10000, 10, 7},
        {1, 12, 12, 1},
        {12, 12, 12, 12},
        {5, 12, 12, 5},
        {5, 12, 7, 3},
        {5, 12, 1, 1},
        {12, 12, 7, 7},
        {1, 12, 7, 1},
        {0.5, 12, 3, 2},
        {3333, 9999, 3, 1},
        {9999, 10000, 10000, 9999},
        {1e-12, 12, 12, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct fed_settings settings = {.quorum = rows[i].quorum};
        assert_int_equal(fed_quorum(&settings, rows[i].n_clients, rows[i].below), rows[i].clients);
    }
    for (uint32_t n = 1; n <= FED_MAX_CLIENTS; n += n < 100 ? 1 : 97) {
        for (uint32_t count = 1; count <= n; count += 1 + n / 50) { /* a count is that count */
            const struct fed_settings settings = {.quorum = count};
            assert_int_equal(fed_quorum(&settings, n, n), count);
        }
    }
}

static void test_config__each_level_adds_a_grace(void **state)
{
    (void)state;
    struct fed_settings settings = {.grace_s = 2.5};
    assert_true(fed_grace_s(&settings, 0) == 0);
    assert_true(fed_grace_s(&settings, 3) == 7.5);
    settings.grace_s = 86400;
    assert_true(fed_grace_s(&settings, 3) == 86400);
}

static void test_config__each_switch_leaves_nine_tenths_of_its_time(void **state)
{
    (void)state;
    const struct fed_settings settings = {.deadline_s = 600};
    static const double expected[] = {600, 540, 486, 437.4}; /* by hand */
    for (uint32_t depth = 0; depth < 4; depth++) {
        const double found = fed_deadline_s(&settings, depth);
        assert_true(found > expected[depth] - 1e-9 && found < expected[depth] + 1e-9);
    }
}

/* A sum that no parameters can hold is told at value_bits. Whether a choice is possible is
 * he_params_choose's to say; the widest values of the most clients are asked of both. */
static void test_config__lanes(void **state)
{
    (void)state;
    for (int p = 0; p < HE_PROFILES; p++) {
        char settings[80];
        struct he_params params;
        struct cairn_problem why = {0};
        struct fed_config c;
        struct fed_faults faults;
        snprintf(settings, sizeof settings,
                 "\"encryption\": {\"profile\": \"%s\",\n\"value_bits\": 24},",
                 he_profile_name((enum he_profile)p));
        char *text = federation(FED_MAX_CLIENTS, settings);
        int expected = he_params_choose((enum he_profile)p, 24, FED_MAX_CLIENTS, &params, &why);
        int err = fed_config_read("x", text_span(text), &c, &faults);
        assert_int_equal(err == 0, expected == 0);
        assert_true(expected == 0 || has_fault(&faults, why.what, 2, 15));
        if (err == 0) {
            fed_config_release(&c);
        }
        fed_faults_release(&faults);
        free(text);
    }
}

/* The default gives way to the batch, in whole chunks; what the config asks for is refused. */
static void test_config__frames_fit_a_batch(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        uint32_t frame_params; /* 0: refused */
    } rows[] = {
        {"\"encryption\": {\"profile\": \"capsule\"},", 524288},
        {"\"encryption\": {\"profile\": \"seal-ckks\"},", 14 * 4096}, /* 280 KiB a chunk */
        {"\"encryption\": {\"profile\": \"seal-ckks\"}, \"round\": {},", 14 * 4096},
        {"\"encryption\": {\"profile\": \"seal-ckks\"}, \"round\": {\"frame_params\": 8192},", 8192},
        {"\"encryption\": {\"profile\": \"seal-ckks\"},"
         "\"server\": {\"batch_bytes\": 8388608},", 29 * 4096},
        {"\"encryption\": {\"profile\": \"seal-ckks\"}, \"server\": {\"batch_bytes\": 131072},", 0},
        {"\"encryption\": {\"profile\": \"seal-ckks\"}, \"round\": {\"frame_params\": 524288},", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fed_config c;
        struct fed_faults faults;
        char *text = federation(3, rows[i].settings);
        const int err = fed_config_read("x", text_span(text), &c, &faults);
        assert_int_equal(err, rows[i].frame_params != 0 ? 0 : CAIRN_ERR_CONFIG);
        if (err == 0) {
            assert_int_equal(c.settings.frame_params, rows[i].frame_params);
            fed_config_release(&c);
        }
        fed_faults_release(&faults);
        free(text);
    }
}

static void test_config__too_many_clients(void **state)
{
    (void)state;
    struct fed_config c;
    struct fed_faults faults;
    char *text = federation(FED_MAX_CLIENTS + 1, "");
    assert_int_equal(fed_config_read("x", text_span(text), &c, &faults), CAIRN_ERR_CONFIG);
    assert_true(has_fault(&faults, "10001 clients are more than cairn allows, 10000", 0, 0));
    fed_faults_release(&faults);
    free(text);
    text = federation(0, "");
    assert_int_equal(fed_config_read("x", text_span(text), &c, &faults), CAIRN_ERR_CONFIG);
    assert_true(has_fault(&faults, "there is no client", 0, 0));
    fed_faults_release(&faults);
    free(text);
}

static double seconds_of_reading(const char *text, int expected, size_t *n_errors)
{
    struct fed_config c;
    struct fed_faults faults;
    clock_t start = clock();
    int err = fed_config_read("x", text_span(text), &c, &faults);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    assert_int_equal(err, expected);
    if (err == 0) {
        fed_config_release(&c);
    }
    *n_errors = faults.n_errors;
    fed_faults_release(&faults);
    return seconds;
}

/* Ten thousand clients, good ones and then all with the same four mistakes: nothing quadratic. A
 * second is plenty even with sanitizers: 0.14 and 0.24 s were measured. */
static void test_config__large_files(void **state)
{
    (void)state;
    size_t n_errors;
    char *text = federation(FED_MAX_CLIENTS, "");
    assert_true(seconds_of_reading(text, 0, &n_errors) < 1.0);
    free(text);
    struct buf b = {0};
    assert_int_equal(
        buf_printf(&b, "{\"aggregator\": {\"iteration\": 1, \"ip\": \"agg\"}, \"others\": {"), 0);
    for (unsigned i = 0; i < FED_MAX_CLIENTS; i++) {
        assert_int_equal(buf_printf(&b,
                                    "%s\"c%u\": {\"type\": \"client\", \"client_number\": 7, "
                                    "\"indx\": 6, \"send\": \"c%u\", \"nonsense\": 1}",
                                    i > 0 ? "," : "", i, i + 1),
                         0);
    }
    assert_int_equal(buf_append(&b, "}}", 3), 0);
    assert_true(seconds_of_reading((char *)b.data, CAIRN_ERR_CONFIG, &n_errors) < 1.0);
    assert_true(n_errors >= 3u * FED_MAX_CLIENTS);
    buf_release(&b);
}

/* A row of ten thousand switches: the depth of a tree is not the depth of our stack. */
static void test_config__deep_tree(void **state)
{
    (void)state;
    enum { LEVELS = 10000 };
    struct buf b = {0};
    struct fed_config c;
    struct fed_faults faults;
    struct fed_stream *streams;
    size_t n;
    assert_int_equal(
        buf_printf(&b, "{\"aggregator\": {\"iteration\": 1, \"ip\": \"s0\"}, \"others\": {"), 0);
    for (unsigned i = 1; i <= LEVELS; i++) {
        assert_int_equal(buf_printf(&b,
                                    "\"s%u\": {\"type\": \"switch\", \"receive\": [\"s%u\"], "
                                    "\"send\": \"s%u\", \"dumb\": true},",
                                    i, i + 1, i - 1),
                         0);
    }
    assert_int_equal(
        buf_printf(&b,
                   "\"s%u\": {\"type\": \"client\", \"client_number\": 1, \"index\": 0, "
                   "\"send\": \"s%u\"}}}",
                   LEVELS + 1, LEVELS),
        0);
    read_good("x", buf_span(&b), &c, &faults);
    assert_int_equal(c.tree.nodes[LEVELS + 1].depth, LEVELS + 1);
    assert_int_equal(fed_tree_streams(&c.tree, 0, &streams, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(streams[0].origin, LEVELS + 1);
    assert_int_equal(streams[0].n_clients, 1);
    free(streams);
    fed_config_release(&c);
    fed_faults_release(&faults);
    buf_release(&b);
}

/* Brackets deeper than any config, up to far beyond any stack. */
static void test_config__deep_nesting(void **state)
{
    (void)state;
    static const size_t depths[] = {33, 2049, 1000000};
    for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++) {
        struct fed_config c;
        struct fed_faults faults;
        struct buf b = {0};
        assert_int_equal(buf_reserve(&b, depths[i]), 0);
        memset(b.data, '[', depths[i]);
        b.size = depths[i];
        assert_int_equal(fed_config_read("x", buf_span(&b), &c, &faults), CAIRN_ERR_CONFIG);
        assert_true(has_fault(&faults, "nested deeper than 32 levels", 1, 33));
        fed_faults_release(&faults);
        buf_release(&b);
    }
}

/* Faults quote what others wrote; a quote never ends inside a character and never carries a control
 * character. */
static void test_config__quotes_are_harmless(void **state)
{
    (void)state;
    for (unsigned pad = 0; pad < 8; pad++) {
        struct buf b = {0};
        struct fed_config c;
        struct fed_faults faults;
        assert_int_equal(buf_printf(&b, "{\"%.*s\\u001b\\u009b", (int)pad, "xxxxxxxx"), 0);
        for (int i = 0; i < 200; i++) {
            assert_int_equal(buf_append(&b, i % 2 ? "\xc3\xa4" : "\xe2\x82\xac", i % 2 ? 2 : 3), 0);
        }
        assert_int_equal(
            buf_printf(&b,
                       "\": 1, \"train\": {\"epochs\": \"%.*s\xf0\x9f\x98\x80\xf0\x9f\x98"
                       "\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98"
                       "\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98"
                       "\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\"}}",
                       (int)pad, "xxxxxxxx"),
            0);
        assert_int_equal(fed_config_read("x", buf_span(&b), &c, &faults), CAIRN_ERR_CONFIG);
        for (size_t i = 0; i < faults.n; i++) {
            json_t *utf8 = json_string(faults.list[i].text);
            assert_non_null(utf8); /* jansson refuses what is not UTF-8 */
            json_decref(utf8);
            for (const char *t = faults.list[i].text; *t != '\0'; t++) {
                assert_true((unsigned char)*t >= 0x20);
                assert_false((unsigned char)t[0] == 0xC2 && (unsigned char)t[1] == 0x9B);
            }
        }
        assert_true(faults.n_errors >= 4);
        fed_faults_release(&faults);
        buf_release(&b);
    }
}

/* No prefix and no single changed byte of a config makes the reader stumble. */
static void test_config__damaged_texts(void **state)
{
    (void)state;
    size_t size = strlen(good_config);
    char *text = malloc(size + 1);
    assert_non_null(text);
    for (size_t i = 0; i < 3 * size; i++) {
        struct fed_config c;
        struct fed_faults faults;
        struct span span = {.data = (uint8_t *)text, .size = i < size ? i : size};
        memcpy(text, good_config, size + 1);
        if (i >= size) {
            text[i % size] = "\"{}[],:0x\xff\\\0"[(i * 7) % 12];
        }
        int err = fed_config_read("x", span, &c, &faults);
        assert_int_equal(err != 0, faults.n_errors > 0);
        if (err == 0) {
            fed_config_release(&c);
        }
        fed_faults_release(&faults);
    }
    free(text);
}

static void test_config__examples(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        uint32_t iterations, clients, switches;
        unsigned depth;
    } rows[] = {{"seed.json", 10, 4, 2, 2},
                {"original_network.json", 10, 4, 2, 2},
                {"three_levels.json", 10, 12, 9, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[400];
        struct buf text = {0};
        struct fed_config c;
        struct fed_faults faults;
        struct cairn_problem why;
        unsigned depth = 0;
        snprintf(path, sizeof path, "%s/examples/%s", CAIRN_SOURCE_DIR, rows[i].file);
        assert_int_equal(file_read(path, 1 << 20, &text, &why), 0);
        read_good(path, buf_span(&text), &c, &faults);
        assert_int_equal(faults.n, 0);
        assert_int_equal(c.iterations, rows[i].iterations);
        assert_int_equal(c.tree.n_clients, rows[i].clients);
        assert_int_equal(c.tree.n_switches, rows[i].switches);
        for (uint32_t k = 0; k < c.tree.n_nodes; k++) {
            depth = c.tree.nodes[k].depth > depth ? c.tree.nodes[k].depth : depth;
        }
        assert_int_equal(depth, rows[i].depth);
        fed_config_release(&c);
        fed_faults_release(&faults);
        buf_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config__bad_texts),
        cmocka_unit_test(test_config__bad_members),
        cmocka_unit_test(test_config__bad_nodes),
        cmocka_unit_test(test_config__all_at_once),
        cmocka_unit_test(test_config__orphan_switch),
        cmocka_unit_test(test_config__defaults),
        cmocka_unit_test(test_config__default_names),
        cmocka_unit_test(test_config__byte_order_mark_is_skipped),
        cmocka_unit_test(test_config__every_setting),
        cmocka_unit_test(test_config__warns_of_the_other_trainers_settings),
        cmocka_unit_test(test_config__settings_as_json),
        cmocka_unit_test(test_config__warnings),
        cmocka_unit_test(test_config__quorum_in_clients),
        cmocka_unit_test(test_config__each_level_adds_a_grace),
        cmocka_unit_test(test_config__each_switch_leaves_nine_tenths_of_its_time),
        cmocka_unit_test(test_config__lanes),
        cmocka_unit_test(test_config__frames_fit_a_batch),
        cmocka_unit_test(test_config__too_many_clients),
        cmocka_unit_test(test_config__large_files),
        cmocka_unit_test(test_config__deep_tree),
        cmocka_unit_test(test_config__deep_nesting),
        cmocka_unit_test(test_config__defaults_that_hang_on_other_settings),
        cmocka_unit_test(test_config__quotes_are_harmless),
        cmocka_unit_test(test_config__damaged_texts),
        cmocka_unit_test(test_config__examples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
