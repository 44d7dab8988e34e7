//! The batch's bytes: compared with a golden file, and read by another project's decoder.

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::nftables::{
    ExpressionAttribute, ListAttribute, NfTablesMessage, RuleAttribute,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};
use proxy_init::config::Config;
use proxy_init::netlink::nftables::Batch;

/// `include/uapi/linux/netlink.h`: request, ack, create; excl; append.
const CREATE: u16 = 0x1 | 0x4 | 0x400;
const EXCLUSIVE: u16 = CREATE | 0x200;
const APPEND: u16 = CREATE | 0x800;
const PLAIN: u16 = 0x1 | 0x4;

fn config() -> Config {
    Config::from_environment(|_| None).unwrap()
}

#[test]
#[cfg(target_endian = "little")]
fn the_batch_is_golden() {
    let batch = Batch::replacing(&config());
    let found = messages(&batch.bytes)
        .map(|message| message.iter().map(|byte| format!("{byte:02x}")).collect())
        .collect::<Vec<String>>()
        .join("\n");
    assert_eq!(
        found,
        include_str!("batch.hex").trim_end(),
        "found:\n{found}"
    );
}

#[test]
fn another_decoder_reads_the_batch() {
    let expected = [
        "1 begin",
        "1029 NewTable [Name(\"azure-workload-identity\")]",
        "5 DeleteTable [Name(\"azure-workload-identity\")]",
        "1541 NewTable [Name(\"azure-workload-identity\")]",
        "1029 NewChain [Table(\"azure-workload-identity\"), Name(\"output\"), \
         Hook([Number(Inet(LocalOut)), Priority(4294967195)]), Policy(1), Type(\"nat\")]",
        "1029 NewChain [Table(\"azure-workload-identity\"), Name(\"prerouting\"), \
         Hook([Number(Inet(PreRouting)), Priority(4294967195)]), Policy(1), Type(\"nat\")]",
        "1029 NewChain [Table(\"azure-workload-identity\"), Name(\"guard\"), \
         Hook([Number(Inet(LocalOut)), Priority(0)]), Policy(1), Type(\"filter\")]",
        "3077 NewRule output",
        "  Meta([Key(L4Proto), DestinationRegister(Reg1)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([6]))])",
        "  Payload([DestinationRegister(Reg1), Base(1), Offset(16), Len(4)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([169, 254, 169, 254]))])",
        "  Payload([DestinationRegister(Reg1), Base(2), Offset(2), Len(2)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([0, 80]))])",
        "  Meta([Key(SocketUserId), DestinationRegister(Reg1)])",
        &format!(
            "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value({:?}))])",
            1501_u32.to_ne_bytes()
        ),
        "  Immediate([DestinationRegister(Reg1), Data(Value([169, 254, 169, 254]))])",
        "  Immediate([DestinationRegister(Reg2), Data(Value([0, 80]))])",
        "  nat 1=1 2=2 3=1 4=1 5=2 6=2",
        "3077 NewRule output",
        "  Meta([Key(L4Proto), DestinationRegister(Reg1)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([6]))])",
        "  Payload([DestinationRegister(Reg1), Base(1), Offset(16), Len(4)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([169, 254, 169, 254]))])",
        "  Payload([DestinationRegister(Reg1), Base(2), Offset(2), Len(2)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([0, 80]))])",
        "  Immediate([DestinationRegister(Reg1), Data(Value([31, 64]))])",
        "  redir 1=1 2=1",
        "3077 NewRule prerouting",
        "  Meta([Key(L4Proto), DestinationRegister(Reg1)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([6]))])",
        "  Payload([DestinationRegister(Reg1), Base(1), Offset(16), Len(4)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([169, 254, 169, 254]))])",
        "  Payload([DestinationRegister(Reg1), Base(2), Offset(2), Len(2)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([0, 80]))])",
        "  Immediate([DestinationRegister(Reg1), Data(Value([31, 64]))])",
        "  redir 1=1 2=1",
        "3077 NewRule guard",
        "  Meta([Key(L4Proto), DestinationRegister(Reg1)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([6]))])",
        "  Payload([DestinationRegister(Reg1), Base(1), Offset(16), Len(4)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([169, 254, 169, 254]))])",
        "  Payload([DestinationRegister(Reg1), Base(2), Offset(2), Len(2)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([0, 80]))])",
        "  Payload([DestinationRegister(Reg1), Base(2), Offset(13), Len(1)])",
        "  Bitwise([SourceRegister(Reg1), DestinationRegister(Reg1), Length(1), Mask(Value([23])), \
         Xor(Value([0]))])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([2]))])",
        "  Meta([Key(SocketUserId), DestinationRegister(Reg1)])",
        &format!(
            "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value({:?}))])",
            1501_u32.to_ne_bytes()
        ),
        "  Immediate([DestinationRegister(Verdict), Data(Verdict([Code(Other(1))]))])",
        "3077 NewRule guard",
        "  Meta([Key(L4Proto), DestinationRegister(Reg1)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([6]))])",
        "  Payload([DestinationRegister(Reg1), Base(1), Offset(16), Len(4)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([169, 254, 169, 254]))])",
        "  Payload([DestinationRegister(Reg1), Base(2), Offset(2), Len(2)])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([0, 80]))])",
        "  Payload([DestinationRegister(Reg1), Base(2), Offset(13), Len(1)])",
        "  Bitwise([SourceRegister(Reg1), DestinationRegister(Reg1), Length(1), Mask(Value([23])), \
         Xor(Value([0]))])",
        "  Cmp([SourceRegister(Reg1), Op(Equal), Data(Value([2]))])",
        "  Immediate([DestinationRegister(Verdict), Data(Verdict([Code(Other(0))]))])",
        "1 end",
    ];
    let found = words(&Batch::replacing(&config()).bytes);
    assert_eq!(found, expected, "found:\n{}", found.join("\n"));
}

#[test]
fn creates_the_table_exclusively_where_there_is_none() {
    let fresh = words(&Batch::creating(&config()).bytes);
    let again = words(&Batch::replacing(&config()).bytes);
    assert_eq!(fresh[0], "1 begin");
    assert_eq!(fresh[1..], again[3..]);
    assert!(fresh[1].starts_with(&EXCLUSIVE.to_string()), "{}", fresh[1]);
    assert_eq!([CREATE, PLAIN, APPEND], [1029, 5, 3077]);
}

/// The messages as text, one a line, with each expression of a rule on its own line.
fn words(batch: &[u8]) -> Vec<String> {
    messages(batch)
        .flat_map(|bytes| {
            let message = NetlinkMessage::<NetfilterMessage>::deserialize(bytes).unwrap();
            let flags = message.header.flags;
            let NetlinkPayload::InnerMessage(message) = message.payload else {
                panic!("not of netfilter: {message:?}");
            };
            let family = message.header.family;
            let (text, expressions) = match message.inner {
                NetfilterMessageInner::None(control) => {
                    assert_eq!(
                        (family, message.header.res_id),
                        (NetfilterProtoFamily::Unspec, 10)
                    );
                    let text = match control {
                        ControlMessage::BatchBegin => "begin",
                        ControlMessage::BatchEnd => "end",
                        other => panic!("{other:?}"),
                    };
                    (text.to_owned(), Vec::new())
                }
                NetfilterMessageInner::NfTables(message) => {
                    assert_eq!(family, NetfilterProtoFamily::IPv4);
                    nf_tables(message)
                }
                other => panic!("{other:?}"),
            };
            std::iter::once(format!("{flags} {text}")).chain(expressions)
        })
        .collect()
}

fn nf_tables(message: NfTablesMessage) -> (String, Vec<String>) {
    match message {
        NfTablesMessage::NewTable(table) => (format!("NewTable {:?}", table.attributes), vec![]),
        NfTablesMessage::DeleteTable(table) => {
            (format!("DeleteTable {:?}", table.attributes), vec![])
        }
        NfTablesMessage::NewChain(chain) => (format!("NewChain {:?}", chain.attributes), vec![]),
        NfTablesMessage::NewRule(rule) => {
            let [
                RuleAttribute::Table(table),
                RuleAttribute::Chain(chain),
                RuleAttribute::Expressions(expressions),
            ] = &rule.attributes[..]
            else {
                panic!("{rule:?}");
            };
            assert_eq!(table, "azure-workload-identity");
            (
                format!("NewRule {chain}"),
                expressions.iter().map(expression).collect(),
            )
        }
        other => panic!("{other:?}"),
    }
}

fn expression(element: &ListAttribute<ExpressionAttribute>) -> String {
    let ListAttribute::Element(attributes) = element else {
        panic!("{element:?}");
    };
    let [
        ExpressionAttribute::Name(name),
        ExpressionAttribute::Data(data),
    ] = &attributes[..]
    else {
        panic!("{attributes:?}");
    };
    let text = format!("{data:?}");
    // The decoder knows these two by name alone: their attributes are numbers.
    if name == "nat" || name == "redir" {
        let numbers = text
            .split("kind: ")
            .skip(1)
            .map(|attribute| {
                let (kind, rest) = attribute.split_once(", value: [0, 0, 0, ").unwrap();
                format!(" {kind}={}", rest.split_once(']').unwrap().0)
            })
            .collect::<String>();
        return format!("  {name}{numbers}");
    }
    assert!(text.to_lowercase().starts_with(name), "{name}: {text}");
    format!("  {text}")
}

fn messages(mut batch: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*batch.first_chunk()?) as usize;
        let (message, rest) = batch.split_at(length.next_multiple_of(4));
        batch = rest;
        Some(message)
    })
}
